"""What is said and what a recogniser writes must normalise to the same words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtwist.corpus.numbers import cardinal, numbers, ordinal
from voxtwist.evaluation.normalise import normalise_speech

SAID_AND_WRITTEN = [
    ("Nine plus thirty seven is forty six.", "9 + 37 = 46."),
    ("Thirty eight plus three is forty one.", "38+3 is 41."),
    ("Ninety eight minus forty nine is forty nine.", "98 -49 is 49."),
    ("Ten minus three is seven", "10 − 3 = 7"),
    ("Seven equals seven", "7 = 7"),
    ("six times seven", "6 × 7"),
    ("It is eight thirty one.", "It's 8:31."),
    ("It is eight thirty one.", "It is 8 31"),
    ("It is one fifteen.", "It is 1 15"),
    ("It is twelve ten.", "It is 12:10"),
    ("It's three oh five", "It is 3:05"),
    ("three o'clock", "3:00"),
    ("one o’clock", "1:00"),
    ("twelve sharp", "12 sharp"),
    ("ten a.m.", "10 AM"),
    ("seventh", "7th"),
    ("the ninth", "the 9th"),
    ("The next day is September ninth.", "The next day is September 9."),
    ("The next day is May twenty first.", "The next day is May 21st."),
    ("January the thirtieth", "January 30"),
    ("Fourteen days after Monday is Monday.", "14 days after Monday is Monday"),
    ("forty-nine", "49"),
    ("one hundred and five", "105"),
    ("nineteen sixty three", "1963"),
    ("fifty percent", "50%"),
    ("I have one", "I have 1"),
    ("You're ok, I can't", "you are OKAY I cannot"),
    ("We won't; let's go", "we will not let us go"),
]


@pytest.mark.parametrize(("said", "written"), SAID_AND_WRITTEN)
def test_said_and_written_forms_agree(said: str, written: str) -> None:
    assert normalise_speech(said) == normalise_speech(written)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("nine plus one is ten", "nine minus one is ten"),
        ("It is 8:31", "It is 8:13"),
        ("fourteen", "forty"),
        ("May first", "May third"),
        ("I can", "I can not"),
    ],
)
def test_differences_that_are_heard_stay(one: str, other: str) -> None:
    assert normalise_speech(one) != normalise_speech(other)


@given(st.integers(1, 12), st.integers(10, 59))
def test_every_clock_time(hour: int, minute: int) -> None:
    said = f"It is {cardinal(hour)} {cardinal(minute)}."
    assert normalise_speech(said) == normalise_speech(f"It is {hour}:{minute}.")


@given(st.integers(0, 99), st.integers(0, 99))
def test_every_sum(a: int, b: int) -> None:
    said = f"{cardinal(a)} plus {cardinal(b)} is {a + b}"
    assert normalise_speech(said) == normalise_speech(f"{a} + {b} = {a + b}")


@given(st.integers(1, 31))
def test_every_ordinal(day: int) -> None:
    assert (
        normalise_speech(f"June {ordinal(day)}")
        == normalise_speech(f"June {day}")
        != normalise_speech("June")
    )


def test_normalising_twice_changes_nothing() -> None:
    for _, answer in numbers(300, seed=1):
        once = normalise_speech(answer)
        assert once and normalise_speech(once) == once
