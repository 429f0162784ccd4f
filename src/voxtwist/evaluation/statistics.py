"""Error bars and tests: percentile bootstrap over utterances or questions, McNemar's exact test."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import binomtest

SEED = 0  # of the resampling, so that equal results have equal intervals


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval.

    Attributes:
        value: the figure on the sample itself.
        low, high: 2.5th and 97.5th percentile of the figure over bootstrap resamples.
        n: utterances or questions behind it.
    """

    value: float
    low: float
    high: float
    n: int


def mean(values: Sequence[float] | np.ndarray, resamples: int) -> Estimate:
    """Mean of one number an item.

    Raises:
        ValueError: no items.
    """
    return ratio(values, np.ones(len(values)), resamples)


def ratio(
    numerators: Sequence[float] | np.ndarray,
    denominators: Sequence[float] | np.ndarray,
    resamples: int,
) -> Estimate:
    """Sum over sum, as in a micro-averaged error rate; whole items are resampled.

    Args:
        numerators, denominators: one number an item, for example errors and reference words.
        resamples: number of bootstrap resamples.

    Raises:
        ValueError: no items.
    """
    above, below = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    n = len(above)
    if n == 0:
        raise ValueError("a ratio needs at least one item")
    drawn = np.random.default_rng(SEED).integers(0, n, size=(resamples, n))
    rates = above[drawn].sum(axis=1) / below[drawn].sum(axis=1)
    low, high = np.percentile(rates, [2.5, 97.5])
    return Estimate(float(above.sum() / below.sum()), float(low), float(high), n)


@dataclass(frozen=True)
class PairedComparison:
    """The same questions answered by two models.

    Attributes:
        before, after: share of right answers.
        difference: after - before; `low` and `high` are its 95 % bootstrap interval, in which
            both answers to a question are resampled together.
        gained, lost: questions only the second model, or only the first one, has right.
        p_value: McNemar's exact two-sided test that gains and losses are equally likely.
    """

    before: float
    after: float
    difference: float
    low: float
    high: float
    gained: int
    lost: int
    p_value: float
    n: int

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def compare_paired(
    before: Sequence[bool] | np.ndarray, after: Sequence[bool] | np.ndarray, resamples: int
) -> PairedComparison:
    """Compare two models by their answers to the same questions, in the same order.

    Raises:
        ValueError: no questions, or different numbers of them.
    """
    first, second = np.asarray(before, dtype=bool), np.asarray(after, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} answers before and {len(second)} after cannot be paired")
    change = mean(second.astype(float) - first.astype(float), resamples)
    gained, lost = int((second & ~first).sum()), int((first & ~second).sum())
    p_value = float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return PairedComparison(
        before=float(first.mean()),
        after=float(second.mean()),
        difference=change.value,
        low=change.low,
        high=change.high,
        gained=gained,
        lost=lost,
        p_value=p_value,
        n=change.n,
    )


Rates = tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]


@dataclass(frozen=True)
class NonInferiority:
    """Whether an error rate has grown by less than a margin, one-sided.

    Attributes:
        before, after: error rates, sums over sums.
        difference: after - before; positive is worse.
        worst: upper end of the one-sided bootstrap interval of the difference at level 1 - alpha.
        p_value: of "it has grown by the margin or more"; below alpha, that is refuted.
        n: items after.
    """

    before: float
    after: float
    difference: float
    worst: float
    p_value: float
    n: int


def not_worse(
    before: Rates, after: Rates, *, margin: float, alpha: float, resamples: int, paired: bool
) -> NonInferiority:
    """Test that an error rate is not worse by `margin` or more.

    Args:
        before, after: errors and lengths, one number an item each; a rate is sum over sum.
        paired: the same items in the same order, which are then resampled together.

    Raises:
        ValueError: no items, or different numbers of paired ones.
    """
    sides = [tuple(np.asarray(part, dtype=float) for part in side) for side in (before, after)]
    sizes = [len(errors) for errors, _ in sides]
    if 0 in sizes or (paired and sizes[0] != sizes[1]):
        raise ValueError(f"{sizes[0]} items before and {sizes[1]} after cannot be compared")
    generator = np.random.default_rng(SEED)
    drawn = [generator.integers(0, n, size=(resamples, n)) for n in sizes]
    if paired:
        drawn[1] = drawn[0]
    first, second = (
        errors[rows].sum(axis=1) / lengths[rows].sum(axis=1)
        for (errors, lengths), rows in zip(sides, drawn, strict=True)
    )
    growth = second - first
    rates = [float(errors.sum() / lengths.sum()) for errors, lengths in sides]
    return NonInferiority(
        before=rates[0],
        after=rates[1],
        difference=rates[1] - rates[0],
        worst=float(np.quantile(growth, 1 - alpha)),
        # A growth of exactly the margin counts, whatever its last binary digit.
        p_value=float((1 + (growth > margin - 1e-9).sum()) / (1 + resamples)),
        n=sizes[1],
    )
