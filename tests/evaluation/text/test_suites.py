"""The suites by name, on lm-eval's official MMLU-Redux tasks and a local copy of their data."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.text.evaluate import TextResults, evaluate_text
from voxtwist.evaluation.text.suites import STRICT_ANSWER, load_suites


def ask(checkpoint: Path, suite: str, datasets: Path, limit: int | None = None) -> TextResults:
    return evaluate_text(checkpoint, [suite], limit=limit, batch_size=32, datasets=datasets)


@pytest.mark.slow
def test_the_official_redux_runs_from_a_local_copy(
    scripted: Callable[[str], Path], redux: Path
) -> None:
    results = ask(scripted("Answer: C"), "mmlu_redux_generative", redux)
    metrics = results.metrics
    assert metrics["mmlu_redux_generative/n"] == 3 * 57
    third = pytest.approx(1 / 3)
    for group in ("", "/stem", "/other", "/humanities", "/social sciences"):
        assert metrics[f"mmlu_redux_generative{group}/exact_match/default"] == third
        assert metrics[f"mmlu_redux_generative{group}/exact_match/strict"] == third
    by_filter = {
        (row["doc_id"], name): value
        for row in results.questions
        for name, value in row["metrics"].items()
    }
    # Stock reads the A of "Answer", strict the C: each is right of another question.
    assert by_filter[0, "exact_match/default"] == by_filter[2, "exact_match/strict"] == 1
    assert by_filter[2, "exact_match/default"] == by_filter[0, "exact_match/strict"] == 0
    details = results.details["suites"]["mmlu_redux_generative"]
    assert details["versions"]["mmlu_redux_anatomy_generative"] == 4.0
    assert "<|im_start|>user\n" in details["first_prompt"]  # asked as in training


def test_a_sub_group_runs_alone(scripted: Callable[[str], Path], redux: Path) -> None:
    results = ask(scripted("C"), "mmlu_redux_humanities_generative", redux, limit=1)
    assert results.metrics["mmlu_redux_humanities_generative/exact_match/strict"] == 0
    assert results.metrics["mmlu_redux_humanities_generative/n"] == 13
    assert {row["generated"][0] for row in results.questions} == {"C"}
    assert {tuple(row["groups"]) for row in results.questions} == {
        ("mmlu_redux_humanities_generative",)
    }


def test_one_task_alone_has_both_extractions(scripted: Callable[[str], Path], redux: Path) -> None:
    metrics = ask(scripted("Answer: B"), "mmlu_redux_anatomy_generative", redux).metrics
    names = {name for name in metrics if "stderr" not in name}
    assert names == {
        f"mmlu_redux_anatomy_generative/{name}"
        for name in ("exact_match/default", "exact_match/strict", "n", "leaked_mass", "trained")
    }


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("C", "C"), (" (B)", "B"), ("D.", "D"), ("C. Mitosis", "C"), ("**A**", "A"),
        ("Answer: C", "C"), ("The correct answer is **B**.", "B"), ("the answer is: A", "A"),
        ("Option D", "D"), ("A cell divides.", None), ("Answer", None), ("I think B", None),
        ("As both", None), ("", None), ("Because C", None), ("A-level", None),
    ],
)  # fmt: skip
def test_strict_takes_answers_that_are_a_letter(answer: str, letter: str | None) -> None:
    found = re.search(STRICT_ANSWER, answer)
    assert (found and found[1]) == letter


def test_a_question_can_be_any_of_a_suite_whatever_the_limit(redux: Path) -> None:
    (suite,) = load_suites(["mmlu_redux_stem_letters"], redux)
    asked = list(suite.questions())
    assert ("mmlu_redux_anatomy_letters", "anatomy 2?") in asked
    assert len(asked) == 3 * len(suite.tasks)


def test_a_copy_that_has_changed_is_read_anew(redux: Path, tmp_path: Path) -> None:
    copy = tmp_path / "fxmarty" / "mmlu-redux-2.0-ok"
    shutil.copytree(redux / "fxmarty" / "mmlu-redux-2.0-ok", copy)
    for question in ("first?", "second?"):
        row = {"question": question, "choices": ["w", "x", "y", "z"], "answer": 0}
        pq.write_table(
            pa.Table.from_pylist([row]), copy / "anatomy" / "test-00000-of-00001.parquet"
        )
        (suite,) = load_suites(["mmlu_redux_anatomy_letters"], tmp_path)
        assert [asked for _, asked in suite.questions()] == [question]


@pytest.mark.slow
def test_an_unknown_suite_is_named() -> None:  # lm-eval reads all of its tasks first
    with pytest.raises(VoxtwistError, match=r"suites names 'trivial', which lm-eval does not know"):
        load_suites(["trivial"])


def test_data_that_are_missing_are_named(tmp_path: Path) -> None:
    with pytest.raises(VoxtwistError, match=r"mmlu-redux-2\.0-ok is missing: copy it with `hf"):
        load_suites(["mmlu_redux_anatomy_generative"], tmp_path)
    (tmp_path / "fxmarty" / "mmlu-redux-2.0-ok").mkdir(parents=True)
    with pytest.raises(VoxtwistError, match=r"cannot be read from .*mmlu-redux-2\.0-ok"):
        load_suites(["mmlu_redux_anatomy_generative"], tmp_path)
