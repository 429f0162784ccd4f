"""Whether a difference between two settings is more than the seeds make."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_ind

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Verdict:
    """Of a candidate against the baseline, lower being better.

    Attributes:
        mean, sd: of the candidate over its seeds; sd is the sample's (n - 1).
        difference: candidate - baseline; `low` and `high` are its 95 % interval (Welch's t, which
            allows the two to vary differently).
        verdict: `better`, `worse`, or `inside the noise` when the interval holds 0.
    """

    mean: float
    sd: float
    difference: float
    low: float
    high: float
    verdict: str


def compare(candidate: Sequence[float], baseline: Sequence[float]) -> Verdict:
    """Judge a candidate by the values of its seeds and of the baseline's, two or more of each.

    Raises:
        ValueError: fewer than two values.
    """
    new, old = np.asarray(candidate, dtype=float), np.asarray(baseline, dtype=float)
    if min(len(new), len(old)) < 2:
        raise ValueError("a noise floor needs at least two seeds")
    difference = float(new.mean() - old.mean())
    if new.std() == old.std() == 0:  # no noise at all: Welch's t would divide by it
        low = high = difference
    else:
        interval = ttest_ind(new, old, equal_var=False).confidence_interval(CONFIDENCE)
        low, high = float(interval.low), float(interval.high)
    verdict = "better" if high < 0 else "worse" if low > 0 else "inside the noise"
    return Verdict(float(new.mean()), float(new.std(ddof=1)), difference, low, high, verdict)
