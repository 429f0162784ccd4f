"""What a version can show for itself: what its run measured, and its lineage."""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from mlflow.entities.model_registry import ModelVersion

from voxtwist.evaluation.speech.questions import HELD_OUT
from voxtwist.evaluation.text.table import Row, read_questions
from voxtwist.tracking.registry import number
from voxtwist.tracking.store import Store, fetch
from voxtwist.vcs import changed_since, maker


@dataclass(frozen=True)
class Evidence:
    """The evidence for one version; None where its run has none.

    Attributes:
        questions: the table of text questions, `text/questions.jsonl`.
        answers: the held-out rows of `speech/samples.jsonl`.
        overlap: of `lineage/split.json`: eval rows whose question or answer is in training.
        tags: of the version, lineage among them.
    """

    version: str
    run_id: str
    questions: list[Row] | None
    answers: list[Row] | None
    overlap: dict[str, int] | None
    tags: dict[str, str]


@dataclass(frozen=True)
class Lock:
    """What dvc.lock says of a checkpoint.

    Attributes:
        made_by: the stage whose output it is; None: the lock does not name it.
        changed: what made it and has changed since; see `changed_since`.
    """

    made_by: str | None
    changed: list[str]


def read_lock(root: Path, digest: str) -> Lock:
    """Look a checkpoint up by DVC's md5. Only what it depends on is looked at: not a sweep.

    Raises:
        VoxtwistError: DVC refuses, for example outside a DVC project.
    """
    stage = maker(root, digest)
    return Lock(stage, changed_since(root, stage) if stage else [])


def collect_evidence(store: Store, version: ModelVersion) -> Evidence:
    """Read the artifacts of the version's run."""
    run_id = str(version.run_id)
    with TemporaryDirectory() as name:
        folder = Path(name)
        questions = fetch(store, run_id, "text/questions.jsonl", folder)
        samples = fetch(store, run_id, "speech/samples.jsonl", folder)
        split = fetch(store, run_id, "lineage/split.json", folder)
        return Evidence(
            version=number(version),
            run_id=run_id,
            questions=read_questions(questions.parent) if questions else None,
            answers=_held_out(samples) if samples else None,
            overlap=_overlap(split) if split else None,
            tags=dict(version.tags),
        )


def _held_out(samples: Path) -> list[Row]:
    rows: list[Row] = [orjson.loads(line) for line in samples.read_bytes().splitlines()]
    return [row for row in rows if row["group"] == HELD_OUT]


def _overlap(split: Path) -> dict[str, int] | None:
    """None for data without a table of rows: then nothing was checked."""
    report: dict[str, Any] = json.loads(split.read_bytes()).get("overlap", {})
    return {name: found["eval_rows"] for name, found in report.items()} or None
