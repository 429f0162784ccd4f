"""What a killed training continues from, kept outside the pipeline's outputs.

A state belongs to one fingerprint of settings, data, start weights and code: when any of them
changes, training starts afresh and never mixes two experiments.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# Settings that say how far a training gets before it is interrupted, not what comes out of it.
OF_THIS_PROCESS = {"max_hours", "save_steps"}
_FILE = "state.pt"
_RUN = "run"


def fingerprint(parts: Mapping[str, Any]) -> str:
    """Hexadecimal digest of plain values, the same in every process."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def code_fingerprint(folder: Path) -> str:
    """Digest of all Python files below a folder: names and contents."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(folder.rglob("*.py")):
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


@dataclass
class TrainingState:
    """After `step` optimizer steps.

    Attributes:
        precision: the arithmetic so far; measured anew it might be another one.
        before: evaluation metrics before the first step.
        best: those of the best checkpoint so far, with its `step`; empty before the first.
        tokens, seconds: trained on and spent so far.
    """

    step: int = 0
    precision: str | None = None
    before: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    tokens: int = 0
    seconds: float = 0.0
    model: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] = field(default_factory=dict)


class StateFolder:
    """The states of one fingerprint below a scratch folder."""

    def __init__(self, scratch: Path, key: str) -> None:
        self.folder = scratch / key

    def best(self, step: int) -> Path:
        """Where the best checkpoint, of that step, waits until training ends."""
        return self.folder / f"best-{step}"

    @property
    def run_id(self) -> str | None:
        """The tracked run to resume, even before any step has been saved."""
        file = self.folder / _RUN
        return file.read_text(encoding="utf-8") if file.exists() else None

    @run_id.setter
    def run_id(self, run_id: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _RUN).write_text(run_id, encoding="utf-8")

    def save(self, state: TrainingState) -> None:
        """Write in one piece: a kill leaves the earlier state or this one, never half of it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f"{_FILE}.new"
        with unfinished.open("wb") as file:
            torch.save(vars(state), file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self.folder / _FILE)

    def load(self) -> TrainingState | None:
        """The last state, or None when there is nothing to continue.

        Its tensors are read from the file when they are used, so that many processes on one machine
        do not hold a copy each.
        """
        file = self.folder / _FILE
        if not file.exists():
            return None
        return TrainingState(**torch.load(file, map_location="cpu", weights_only=True, mmap=True))

    def remove(self) -> None:
        """After success there is nothing to continue."""
        shutil.rmtree(self.folder, ignore_errors=True)
