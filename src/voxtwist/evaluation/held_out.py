"""Nothing that was trained on is asked."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from voxtwist.data.files import rows_path
from voxtwist.data.groups import hash_texts
from voxtwist.errors import VoxtwistError


def refuse_trained(questions: Iterable[tuple[str, str]], train: Path) -> None:
    """Make sure that no question was trained on; case, punctuation and spacing do not matter.

    Args:
        questions: name of the suite or task, and question.
        train: the training split, SFT JSONL with its table of rows beside it.

    Raises:
        VoxtwistError: one was, or the table of rows is missing.
    """
    asked = list(questions)
    known = trained_on([question for _, question in asked], train)
    if known.any():
        name, question = asked[int(known.argmax())]
        raise VoxtwistError(
            f"{name} asks {question!r}, which is also in {train} ({known.sum()} of {len(asked)} "
            "questions are): leave them out of the training data"
        )


def trained_on(questions: list[str], train: Path) -> np.ndarray:
    """bool (questions,): which of them are in the training split; see `refuse_trained`."""
    table = rows_path(train)
    if not table.exists():
        raise VoxtwistError(f"{table} is missing: run convert and split again")
    trained = hash_texts(pq.read_table(table, columns=["question"])[0].to_pylist())
    return np.isin(hash_texts(questions), trained)
