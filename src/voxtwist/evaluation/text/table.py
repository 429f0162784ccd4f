"""The table of text questions: written, read, and compared in pairs between two checkpoints.

A row is a question as one answer filter saw it: suite, groups (that the task is summed up in),
task, doc_id, doc_hash, question, prompt, target, generated (whole answers), response (what the
filter made of them, or the likelihoods) and metrics.
"""

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.statistics import PairedComparison, compare_paired, mean

QUESTIONS = "questions.jsonl"
LETTERS = "_letters"  # ends the names of suites and tasks that are scored by letters
Row = dict[str, Any]


def write_questions(folder: Path, rows: Sequence[Row]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / QUESTIONS).write_text("".join(lines), encoding="utf-8")


def read_questions(folder: Path) -> list[Row]:
    """The table that `write_questions` wrote.

    Raises:
        VoxtwistError: it is not there.
    """
    path = folder / QUESTIONS
    if not path.exists():
        raise VoxtwistError(f"{path} is missing: run evaluate_text on the earlier checkpoint first")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def questions_digest(rows: Sequence[Row]) -> str:
    """32 hex digits that change with the questions asked, whoever answers them."""
    asked = sorted({(row["task"], row["doc_id"], row["doc_hash"]) for row in rows})
    return hashlib.blake2b(json.dumps(asked).encode(), digest_size=16).hexdigest()


def compare_text(
    before: Sequence[Row], after: Sequence[Row], resamples: int
) -> dict[str, PairedComparison]:
    """Compare two tables of the same questions by all metrics that are right or wrong.

    Returns:
        A comparison for each "task/metric", and for each "group/metric" over all its questions.

    Raises:
        VoxtwistError: the tables do not hold the same questions.
    """
    return {
        name: compare_paired([b == 1 for b, _ in rows], [a == 1 for _, a in rows], resamples)
        for name, rows in pair_answers(before, after).items()
        if all(value in (0, 1) for pair in rows for value in pair)
    }


def pair_answers(
    before: Sequence[Row], after: Sequence[Row]
) -> dict[str, list[tuple[float, float]]]:
    """What both tables measured on each question, by "task/metric" and "group/metric".

    Raises:
        VoxtwistError: the tables do not hold the same questions.
    """
    earlier = {_key(row): row for row in before}
    if earlier.keys() != {_key(row) for row in after}:
        raise VoxtwistError(
            "the two models were not asked the same questions: run evaluate_text on both with the "
            "same suites and limit"
        )
    pairs: dict[str, list[tuple[float, float]]] = {}
    for row in after:
        for name, value in row["metrics"].items():
            pair = (earlier[_key(row)]["metrics"][name], value)
            for level in (*row["groups"], row["task"]):
                pairs.setdefault(f"{level}/{name}", []).append(pair)
    return pairs


def _key(row: Row) -> tuple[str, int, str, str]:
    return row["task"], row["doc_id"], row["doc_hash"], min(row["metrics"])


PREDICTIONS, SUMMARY = "letters.csv", "letters_summary.csv"
_CHOICES = "ABCD"


def write_letters(folder: Path, questions: Sequence[Row], resamples: int) -> None:
    """Write letters.csv, one row per question, and letters_summary.csv, one row per task or group.

    Args:
        questions: rows of `evaluate_text`; without any of a letters suite, nothing is written.
        resamples: of the bootstrap.
    """
    rows = [row for row in questions if row["task"].endswith(LETTERS)]
    if not rows:
        return
    right: dict[str, list[float]] = {}
    with (folder / PREDICTIONS).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = [f"logprob_{letter}" for letter in _CHOICES]
        writer.writerow(["task", "doc_id", "question", "answer", "prediction", "correct", *names])
        for row in rows:
            scores = [score for score, _ in row["response"]]
            prediction = max(range(4), key=scores.__getitem__)
            correct = row["metrics"]["acc"]
            letters = [_CHOICES[row["target"]], _CHOICES[prediction]]
            known = [row["task"], row["doc_id"], row["question"]]
            writer.writerow([*known, *letters, int(correct), *(f"{s:.6f}" for s in scores)])
            for level in (*row["groups"], row["task"]):
                right.setdefault(level, []).append(correct)
    with (folder / SUMMARY).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["task", "n", "correct", "accuracy", "low", "high"])
        for task, values in right.items():
            accuracy = mean(values, resamples)
            interval = [f"{x:.6f}" for x in (accuracy.value, accuracy.low, accuracy.high)]
            writer.writerow([task, accuracy.n, int(sum(values)), *interval])
