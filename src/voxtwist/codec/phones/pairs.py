"""Pairs of phones: two neighbours of 20 ms make one code, as SLAM-Omni groups its tokens."""

from collections import Counter
from collections.abc import Iterable

import numpy as np


def choose_pairs(utterances: Iterable[np.ndarray], phones: int, count: int) -> np.ndarray:
    """The `count` most frequent pairs, int64 (count, 2); each phone twice is always among them.

    Args:
        utterances: int64 (T,) each, phones at 50 Hz.
    """
    seen: Counter[tuple[int, int]] = Counter()
    for utterance in utterances:
        for shift in (0, 1):  # a sentence may begin at either
            seen.update(map(tuple, as_pairs(utterance[shift:]).tolist()))
    chosen = dict.fromkeys((phone, phone) for phone in range(phones))
    for pair, _ in seen.most_common():
        if len(chosen) == count:
            break
        chosen.setdefault(pair)
    return np.array(sorted(chosen), dtype=np.int64)


def as_pairs(phones: np.ndarray) -> np.ndarray:
    """(T,) -> (ceil(T / 2), 2): a last single phone is said twice."""
    if len(phones) % 2:
        phones = np.append(phones, phones[-1:])
    return phones.reshape(-1, 2)
