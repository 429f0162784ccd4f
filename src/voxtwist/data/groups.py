"""Rows that must stay on one side of a split, because their question or answer is the same."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def normalise(text: str) -> str:
    """Case, punctuation and spacing taken away; a text of nothing else stays as it is."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"[^\w\s]", "", plain).split()) or plain


def hash_texts(texts: Iterable[str]) -> np.ndarray:
    """uint64 (texts,): equal where the normalised texts are equal (8 bytes of BLAKE2b)."""
    digests = (hashlib.blake2b(normalise(t).encode(), digest_size=8).digest() for t in texts)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def group_rows(keys: Sequence[np.ndarray]) -> np.ndarray:
    """Rows that share a key in any column, directly or through other rows, get one number.

    Args:
        keys: one array (rows,) for each column.

    Returns:
        int (rows,): connected components of the graph in which rows meet at their keys.
    """
    rows = len(keys[0])
    nodes, size = [], rows
    for column in keys:
        distinct, position = np.unique(column, return_inverse=True)
        nodes.append(position + size)
        size += len(distinct)
    ends = np.concatenate(nodes)
    starts = np.tile(np.arange(rows), len(keys))
    graph = coo_array((np.ones(len(ends), dtype=np.int8), (starts, ends)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][:rows])
