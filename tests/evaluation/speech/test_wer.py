"""Word and character error rates, and the alignment shown to people."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtwist.evaluation.speech.wer import align_words, character_errors, error_rate, word_errors

WORDS = st.lists(st.sampled_from(["alpha", "bravo", "delta", "echo"]), max_size=8).map(" ".join)


def test_one_wrong_word_of_five() -> None:
    errors = word_errors("The next day is Monday.", "the next day is sunday")
    assert (errors.errors, errors.length) == (1, 5)
    assert errors.rate == pytest.approx(0.2)


def test_numbers_are_compared_as_numbers() -> None:
    assert word_errors("Thirty eight plus three is forty one.", "38 + 3 = 41").errors == 0


def test_silence_is_wholly_wrong() -> None:
    assert word_errors("Hello there.", "").rate == 1.0


def test_words_where_none_were_meant_are_errors() -> None:
    assert (word_errors("", "hello there").errors, word_errors("", "").rate) == (2, 0.0)


def test_character_errors_count_spaces() -> None:
    errors = character_errors("a cat", "acat")
    assert (errors.errors, errors.length) == (1, 5)


def test_long_utterances_weigh_more() -> None:
    right, wrong = (
        word_errors("alpha bravo delta echo", "alpha bravo delta echo"),
        word_errors("alpha", ""),
    )
    assert error_rate([right, wrong]) == pytest.approx(1 / 5)


def test_no_utterances_have_no_rate() -> None:
    with pytest.raises(ValueError, match="at least one"):
        error_rate([])


@given(WORDS.filter(bool), WORDS.filter(bool))
def test_agrees_with_jiwer(said: str, heard: str) -> None:
    assert word_errors(said, heard).rate == pytest.approx(jiwer.wer(said, heard))


@given(WORDS, WORDS)
def test_the_alignment_spells_out_both_sides_and_the_errors(said: str, heard: str) -> None:
    spans = align_words(said, heard)
    assert " ".join(s.reference for s in spans if s.reference) == said
    assert " ".join(s.transcript for s in spans if s.transcript) == heard
    wrong = sum(
        max(len(s.reference.split()), len(s.transcript.split())) for s in spans if s.kind != "equal"
    )
    assert wrong == word_errors(said, heard).errors
