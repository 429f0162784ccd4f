"""Predictions and summary of letter-scored questions as CSV files, for spreadsheets and pandas."""

import csv
from collections.abc import Sequence
from pathlib import Path

from voxtwist.evaluation.statistics import mean
from voxtwist.evaluation.text.table import LETTERS, Row

PREDICTIONS, SUMMARY = "letters.csv", "letters_summary.csv"
_CHOICES = "ABCD"


def write_letters(folder: Path, questions: Sequence[Row], resamples: int) -> None:
    """Write letters.csv, one row a question, and letters_summary.csv, one row a task or group.

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
