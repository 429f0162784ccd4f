"""`voxtwist evaluate-text` and `import-slamkit`, and the CSV files of letters."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voxtwist.cli.main import app
from voxtwist.errors import VoxtwistError


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_letters_of_one_subject(
    scripted: Callable[[str], Path], redux: Path, tmp_path: Path
) -> None:
    said = run(
        "evaluate-text", scripted("C"), "--output", tmp_path, "--suite",
        "mmlu_redux_anatomy_letters", "--datasets", redux, "--quick",
    )  # fmt: skip
    assert "mmlu_redux_anatomy_letters/acc" in said
    assert "33.3%" in said
    predictions = rows(tmp_path / "letters.csv")
    assert [row["answer"] for row in predictions] == ["A", "B", "C"]
    assert {row["prediction"] for row in predictions} == {"C"}
    assert [row["correct"] for row in predictions] == ["0", "0", "1"]
    assert float(predictions[0]["logprob_C"]) > float(predictions[0]["logprob_A"])
    (summary,) = rows(tmp_path / "letters_summary.csv")
    assert (summary["task"], summary["n"], summary["correct"]) == (
        "mmlu_redux_anatomy_letters", "3", "1",
    )  # fmt: skip
    # A model of format v1.1 is asked where its text starts.
    suite = json.loads((tmp_path / "details.json").read_text())["suites"]
    assert suite["mmlu_redux_anatomy_letters"]["answer_prefix"] == "<text>"


def test_quick_asks_ten_questions_a_task_and_before_compares(
    scripted: Callable[[str], Path], tmp_path: Path
) -> None:
    first = run("evaluate-text", scripted("C"), "--output", tmp_path / "1", "--suite", "trivia",
                "--quick")  # fmt: skip
    assert "difference" not in first
    second = run("evaluate-text", scripted("Paris"), "--output", tmp_path / "2", "--suite",
                 "trivia", "--quick", "--before", tmp_path / "1")  # fmt: skip
    assert "difference" in second
    assert len((tmp_path / "2" / "questions.jsonl").read_text().splitlines()) == 10
    assert not (tmp_path / "2" / "letters.csv").exists()


@pytest.mark.slow
def test_all_letters_sum_up_by_group(
    scripted: Callable[[str], Path], redux: Path, tmp_path: Path
) -> None:
    run("evaluate-text", scripted("B"), "--output", tmp_path, "--suite", "mmlu_redux_letters",
        "--datasets", redux, "--limit", 2)  # fmt: skip
    summary = {row["task"]: row for row in rows(tmp_path / "letters_summary.csv")}
    assert float(summary["mmlu_redux_letters"]["accuracy"]) == 0.5
    assert summary["mmlu_redux_letters"]["n"] == "114"
    assert float(summary["mmlu_redux_letters/stem"]["accuracy"]) == 0.5
    assert len(rows(tmp_path / "letters.csv")) == 114


def test_a_trained_question_is_refused(
    scripted: Callable[[str], Path], split: Path, tmp_path: Path
) -> None:
    with pytest.raises(VoxtwistError, match="holds no checkpoint"):
        run("evaluate-text", tmp_path, "--output", tmp_path, "--suite", "trivia")
    with pytest.raises(VoxtwistError, match=r"rows\.parquet is missing"):
        run("evaluate-text", scripted("C"), "--output", tmp_path, "--suite", "trivia", "--train",
            tmp_path / "none.jsonl")  # fmt: skip
