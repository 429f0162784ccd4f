"""The draw of questions for the spoken evaluation."""

from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from voxtwist.data.files import rows_path
from voxtwist.data.groups import hash_texts
from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.speech.questions import choose_questions
from voxtwist.vocabulary import SpeechVocabulary


@pytest.fixture
def vocabulary(speech_tokenizer: PreTrainedTokenizerFast) -> SpeechVocabulary:
    return SpeechVocabulary.from_tokenizer(speech_tokenizer)


def test_as_many_of_every_part_with_their_own_speech(
    split: Path, vocabulary: SpeechVocabulary, word_codec: Any
) -> None:
    chosen = choose_questions(split, "heldout", vocabulary, 4, seed=1)
    assert [reference.part for reference in chosen] == ["everyday"] * 4 + ["numbers"] * 4
    for reference in chosen:
        assert reference.question == f"Question {int(reference.index[-5:])}?"
        assert reference.codes.tolist() == word_codec.codes(reference.answer).tolist()


def test_the_seed_draws(split: Path, vocabulary: SpeechVocabulary) -> None:
    def drawn(seed: int) -> list[str]:
        return [r.index for r in choose_questions(split, "heldout", vocabulary, 3, seed)]

    assert drawn(1) == drawn(1)
    assert len({tuple(drawn(seed)) for seed in range(5)}) > 1


def test_all_where_there_are_fewer(split: Path, vocabulary: SpeechVocabulary) -> None:
    assert len(choose_questions(split, "heldout", vocabulary, 100, seed=1)) == 12


def test_a_split_without_its_table_is_refused(split: Path, vocabulary: SpeechVocabulary) -> None:
    rows_path(split).unlink()
    with pytest.raises(VoxtwistError, match=r"eval\.rows\.parquet is missing"):
        choose_questions(split, "heldout", vocabulary, 4, seed=1)


def test_trained_questions_are_not_asked(split: Path, vocabulary: SpeechVocabulary) -> None:
    taught = hash_texts(["question 0", "QUESTION 3?"])
    asked = choose_questions(split, "heldout", vocabulary, 100, seed=1, trained=taught)
    everyone = choose_questions(split, "heldout", vocabulary, 100, seed=1)
    out = {"Question 0?", "Question 3?"}
    assert [r.index for r in asked] == [r.index for r in everyone if r.question not in out]
    assert len(asked) < len(everyone)
    taught = hash_texts([r.question for r in everyone])
    with pytest.raises(VoxtwistError, match=r"every question .*group_by: \[question\]"):
        choose_questions(split, "heldout", vocabulary, 100, seed=1, trained=taught)
