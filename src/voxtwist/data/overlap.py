"""What an eval split shares with its training split, and what it asks for that was never taught."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from voxtwist.data.groups import hash_texts
from voxtwist.data.raw import part_name

COLUMNS = ("question", "answer")


@dataclass
class PartOverlap:
    """One part of a corpus, see `part_name`."""

    train: int = 0
    eval: int = 0
    eval_words: Counter[str] = field(default_factory=Counter)


class OverlapReport:
    """Fed with the rows of a file and the side each one goes to; holds hashes and words only."""

    def __init__(self) -> None:
        self.hashes: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
        self.is_eval: list[np.ndarray] = []
        self.heard: set[str] = set()
        self.parts: defaultdict[str, PartOverlap] = defaultdict(PartOverlap)

    def add(self, rows: pa.RecordBatch, is_eval: np.ndarray) -> None:
        """Args: rows with `index`, `question`, `answer` and `part`; is_eval: bool, as long."""
        self.is_eval.append(is_eval)
        for name in COLUMNS:
            self.hashes[name].append(hash_texts(rows[name].to_pylist()))
        answers, parts = rows["answer"].to_pylist(), parts_of(rows)
        for answer, name, held_out in zip(answers, parts, is_eval.tolist(), strict=True):
            part = self.parts[name]
            words = re.findall(r"[\w']+", answer.casefold())
            if held_out:
                part.eval += 1
                part.eval_words.update(words)
            else:
                part.train += 1
                self.heard.update(words)

    def summary(self) -> dict[str, Any]:
        """Eval rows whose question or answer is in training; eval words never heard in training."""
        is_eval = np.concatenate(self.is_eval)
        overlap = {}
        for name in COLUMNS:
            hashes = np.concatenate(self.hashes[name])
            shared = np.isin(hashes[is_eval], hashes[~is_eval])
            overlap[name] = {
                "eval_rows": int(shared.sum()),
                "share": round(float(shared.mean()), 4),
            }
        parts = {}
        for name, part in sorted(self.parts.items()):
            unheard = {w: n for w, n in part.eval_words.items() if w not in self.heard}
            parts[name] = {
                "train": part.train,
                "eval": part.eval,
                "eval_answer_words": len(part.eval_words),
                "unheard_words": len(unheard),
                "unheard_examples": " ".join(sorted(unheard)[:20]),
            }
        return {"overlap": overlap, "parts": parts}


def parts_of(rows: pa.RecordBatch | pa.Table) -> list[str]:
    """Each row's part of the corpus; tables of rows from before it had a column say it by index."""
    if "part" in rows.schema.names:
        return list(rows["part"].to_pylist())
    return [part_name(None, index) for index in rows["index"].to_pylist()]
