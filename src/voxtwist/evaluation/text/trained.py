"""Benchmark questions that are in the training data: found, reported, and left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxtwist.errors import VoxtwistError
from voxtwist.evaluation.held_out import is_trained, trained_hashes
from voxtwist.evaluation.text.suites import Suite, load_suites

_SHOWN = 3  # questions that a line of text quotes


@dataclass(frozen=True)
class Trained:
    """The trained questions of one suite.

    Attributes:
        questions: of the whole suite, whatever the limit.
        found: by task, (number of the question in the task, question).
    """

    suite: str
    questions: int
    found: dict[str, list[tuple[int, str]]]

    @property
    def count(self) -> int:
        return sum(map(len, self.found.values()))

    def __str__(self) -> str:
        texts = [repr(text) for rows in self.found.values() for _, text in rows]
        more = ", ..." if len(texts) > _SHOWN else ""
        return (
            f"{self.count} of {self.questions:,} questions of {self.suite} are in the training "
            f"data and are left out of its evaluation: {', '.join(texts[:_SHOWN])}{more}"
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "questions": self.questions,
            "trained": self.count,
            "which": [
                {"task": task, "doc_id": number, "question": text}
                for task, rows in self.found.items()
                for number, text in rows
            ],
        }


def find_trained(suite: Suite, hashes: np.ndarray) -> Trained:
    """Which of a suite's questions are among those of the training data.

    Args:
        hashes: uint64, see `trained_hashes`.

    Raises:
        VoxtwistError: they are all questions of a task, so nothing is left to ask.
    """
    asked: dict[str, list[str]] = {}
    for task, question in suite.questions():
        asked.setdefault(task, []).append(question)
    found = {}
    for task, questions in asked.items():
        known = is_trained(questions, hashes)
        if known.all():
            raise VoxtwistError(
                f"all {len(questions)} questions of {task} are in the training data: take "
                f"{suite.name} out of evaluate_text.suites, or them out of the data"
            )
        if known.any():
            found[task] = [(int(i), questions[i]) for i in np.flatnonzero(known)]
    return Trained(suite.name, sum(map(len, asked.values())), found)


def what_to_ask(suite: Suite, trained: Trained, limit: int | None) -> dict[str, list[int]]:
    """Numbers of each task's questions without the trained ones, the first `limit` of them."""
    numbers = {}
    for task in suite.tasks:
        out = {number for number, _ in trained.found.get(task.task_name, ())}
        left = [number for number in range(len(task.eval_docs)) if number not in out]
        numbers[task.task_name] = left[:limit]
    return numbers


def report_trained(
    names: Sequence[str], datasets: Path | None, train: Path
) -> tuple[dict[str, Any], list[str]]:
    """Look for the suites' questions in a training split, before anything is trained.

    Returns:
        By suite what `Trained.as_dict` says, or {"unchecked": why} where the suite's data cannot be
        read yet; and a line for each suite of which something is to be said.

    Raises:
        VoxtwistError: see `find_trained` and `trained_hashes`.
    """
    hashes = trained_hashes(train)
    report: dict[str, Any] = {}
    lines = []
    for name in names:
        try:
            [suite] = load_suites([name], datasets)
        except VoxtwistError as error:
            report[name] = {"unchecked": str(error)}
            lines.append(f"{name} is not compared with the training data yet: {error}")
            continue
        trained = find_trained(suite, hashes)
        report[name] = trained.as_dict()
        if trained.count:
            lines.append(str(trained))
    return report, lines
