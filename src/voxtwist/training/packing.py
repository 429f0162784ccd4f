"""Whole samples share rows of a token budget: packed end to end, or padded for comparison."""

from bisect import bisect_left, insort

import numpy as np


def pack(lengths: np.ndarray, budget: int, seed: int) -> list[np.ndarray]:
    """Best fit: samples in random order, each into the fullest row that still holds it.

    Not best-fit decreasing, which fills rows a little better (99.5 % of 4,096 tokens instead of
    98 % on speech of 834 tokens) with samples of one length each: the steps of a training would see
    one kind of sample at a time.

    Args:
        lengths: tokens of each sample, integers (N,).
        budget: tokens a row may hold. A longer sample gets its own row: it is never cut.
        seed: orders samples and rows.

    Returns:
        Rows of sample numbers, every sample in exactly one, in random order.
    """
    generator = np.random.default_rng(seed)
    rows: list[list[int]] = []
    open_rows: list[tuple[int, int]] = []  # (space left, row), sorted
    for sample in map(int, generator.permutation(len(lengths))):
        length = int(lengths[sample])
        place = bisect_left(open_rows, (length, -1))
        if place < len(open_rows):
            space, row = open_rows.pop(place)
        else:
            space, row = budget, len(rows)
            rows.append([])
        rows[row].append(sample)
        if space > length:
            insort(open_rows, (space - length, row))
    return [np.array(rows[row]) for row in generator.permutation(len(rows))]


def pad(lengths: np.ndarray, budget: int, seed: int, grouped: bool) -> list[np.ndarray]:
    """Rows whose samples, each padded to the longest of its row, fit into the budget.

    Args:
        grouped: samples of like length share a row: sorted inside stretches of random samples that
            are 50 rows long, as Hugging Face's `group_by_length` does it.

    Returns:
        As `pack`.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(lengths))
    if grouped:
        stretch = 50 * max(1, round(budget / max(1.0, float(np.mean(lengths)))))
        parts = [order[i : i + stretch] for i in range(0, len(order), stretch)]
        order = np.concatenate([part[np.argsort(-lengths[part], kind="stable")] for part in parts])
    rows: list[list[int]] = []
    longest = 0
    for sample in map(int, order):
        longest = max(longest, int(lengths[sample]))
        if not rows or (len(rows[-1]) + 1) * longest > budget:
            rows.append([])
            longest = int(lengths[sample])
        rows[-1].append(sample)
    return [np.array(rows[row]) for row in generator.permutation(len(rows))]


def utilisation(lengths: np.ndarray, rows: list[np.ndarray], budget: int) -> float:
    """Tokens over the space of the rows, each as long as the budget or its own longer sample."""
    tokens = [int(lengths[row].sum()) for row in rows]
    return sum(tokens) / sum(max(budget, used) for used in tokens) if tokens else 1.0
