"""Nothing that was trained on is asked: such questions are found and left out."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from voxtwist.data.files import rows_path
from voxtwist.data.groups import hash_texts
from voxtwist.errors import VoxtwistError


def trained_hashes(train: Path) -> np.ndarray:
    """uint64 (samples,): of the questions of a training split.

    Args:
        train: SFT JSONL with its table of rows beside it.

    Raises:
        VoxtwistError: the table of rows is missing.
    """
    table = rows_path(train)
    if not table.exists():
        raise VoxtwistError(f"{table} is missing: run convert and split again")
    return hash_texts(pq.read_table(table, columns=["question"])[0].to_pylist())


def is_trained(questions: Iterable[str], hashes: np.ndarray) -> np.ndarray:
    """bool (questions,): which of them are among the hashed ones; case, punctuation and spacing do
    not matter."""
    return np.isin(hash_texts(questions), hashes)
