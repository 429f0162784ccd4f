"""The texts of the embedded corpus."""

import re
from collections import Counter

import pytest

from voxtwist.corpus.codec import codec_answers, codec_sentences
from voxtwist.corpus.everyday import everyday, trivia_questions
from voxtwist.corpus.numbers import cardinal, numbers, ordinal
from voxtwist.corpus.talk import talk
from voxtwist.data.groups import normalise
from voxtwist.errors import VoxtwistError

WORDS = {cardinal(n): n for n in range(100)}
ORDINALS = {ordinal(n): n for n in range(1, 32)}


def test_numbers_answers_are_right_different_and_short():
    pairs = numbers(1200, 42)
    assert len({answer for _, answer in pairs}) == 1200
    assert all(2 <= len(answer.split()) <= 7 for _, answer in pairs)
    checked = 0
    for question, answer in pairs:
        said = answer.lower().rstrip(".")
        if sums := re.match(r"(.+) (plus|minus) (.+) is (.+)", said):
            a, b, c = (WORDS[sums[i]] for i in (1, 3, 4))
            assert c == (a + b if sums[2] == "plus" else a - b)
            assert {a, b} == {int(n) for n in re.findall(r"\d+", question)}
        elif time := re.search(r"(\d+):(\d+)", question):
            assert said == f"it is {cardinal(int(time[1]))} {cardinal(int(time[2]))}"
        elif date := re.search(r"([A-Z][a-z]+) (\d+)[?.]", question):
            month, day = said.split(" ", 1)
            assert month.capitalize() == date[1]
            assert ORDINALS[day] == int(date[2]) + 1
        else:
            assert "days after" in said
            continue
        checked += 1
    assert checked > 900


def test_numbers_repeat_with_their_seed_and_run_out_with_a_clear_error():
    assert numbers(50, 1) == numbers(50, 1) != numbers(50, 2)
    with pytest.raises(VoxtwistError, match=r"corpus.numbers is 100000"):
        numbers(100_000, 1)


def test_everyday_leaves_the_benchmark_out_and_is_clean():
    benchmark = trivia_questions()
    pairs = everyday(400, 42, benchmark)
    assert len(set(pairs)) == 400
    for question, answer in pairs:
        assert normalise(question) not in benchmark
        assert 3 <= len(answer.split()) <= 14
        assert answer[-1] in ".!?"
        assert "\n" not in question + answer


def test_talk_is_different_repeats_with_its_seed_and_says_what_the_question_holds():
    pairs = talk(2600, 42)
    assert any(" on the " in answer for _, answer in pairs)  # YAML's `on` is true
    assert not any("True" in answer for _, answer in pairs)
    assert pairs == talk(2600, 42) != talk(2600, 43)
    assert len({answer for _, answer in pairs}) == 2600
    counts = Counter(word for _, answer in pairs for word in normalise(answer).split())
    # Words to learn come back; the rest of the grammar is met often enough to be said.
    assert 350 <= len(counts) <= 800
    assert min(counts.values()) >= 3
    for question, answer in pairs:
        assert "{" not in question + answer
        assert answer[0].isupper()
        assert answer[-1] in ".?"
    with pytest.raises(VoxtwistError, match=r"corpus\.talk is 1000000"):
        talk(1_000_000, 42)


@pytest.mark.parametrize("seed", [1, 42])
def test_the_codec_hears_no_answer_of_the_corpus(seed):
    heard = {normalise(sentence) for sentence in codec_sentences(seed)}
    taken = codec_answers(seed)
    corpus = [
        *everyday(400, seed, trivia_questions()),
        *numbers(1000, seed, taken),
        *talk(2600, seed, taken),
    ]
    assert len(corpus) == 4000
    assert not heard & {normalise(answer) for _, answer in corpus}
    assert len(heard) > 2000
