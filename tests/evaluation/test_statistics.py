"""Error bars against closed forms and exact tests."""

import numpy as np
import pytest
from scipy.stats import norm

from voxtwist.evaluation.statistics import compare_paired, mean, not_worse, ratio


def test_the_interval_of_a_mean_is_the_normal_one_for_many_values() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    estimate = mean(values, 4000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert estimate.value == pytest.approx(values.mean())
    assert (estimate.low, estimate.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.1 * half
    )


def test_a_ratio_weighs_items_by_their_length() -> None:
    estimate = ratio([0, 3], [9, 3], 100)
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (0.25, 0.0, 1.0, 2)


def test_equal_results_have_equal_intervals() -> None:
    assert mean([1, 2, 3, 4], 200) == mean([1, 2, 3, 4], 200)


def test_nothing_has_no_mean() -> None:
    with pytest.raises(ValueError, match="at least one"):
        mean([], 10)


def test_a_paired_comparison() -> None:
    before = [True] * 50 + [False] * 50
    after = [True] * 48 + [False] * 2 + [True] * 10 + [False] * 40
    compared = compare_paired(before, after, 2000)
    assert (compared.before, compared.after, compared.gained, compared.lost) == (0.5, 0.58, 10, 2)
    assert compared.difference == pytest.approx(0.08)
    assert compared.low < 0.08 < compared.high
    assert compared.low > 0.0
    # Two-sided binomial test of 2 of 12: 2 · (C(12,0) + C(12,1) + C(12,2)) / 2^12.
    assert compared.p_value == pytest.approx(2 * (1 + 12 + 66) / 4096)


def test_pairing_narrows_the_interval() -> None:
    answers = np.random.default_rng(0).random(200) < 0.5
    changed = answers.copy()
    changed[:4] = ~changed[:4]
    compared = compare_paired(answers, changed, 1000)
    assert compared.high - compared.low < 0.06  # two separate samples of 200: about 0.2


def test_no_change_is_no_evidence() -> None:
    compared = compare_paired([True, False], [True, False], 100)
    assert (compared.difference, compared.p_value) == (0.0, 1.0)


def test_different_numbers_of_questions_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="2 answers before and 3 after"):
        compare_paired([True, False], [True, False, True], 100)


@pytest.mark.parametrize("paired", [True, False])
def test_not_worse_is_the_one_sided_normal_test_for_many_items(paired: bool) -> None:
    generator = np.random.default_rng(3)
    before, after = (generator.random(2000) < rate for rate in (0.30, 0.32))
    ones = np.ones(2000)
    test = not_worse(
        (before, ones), (after, ones), margin=0.05, alpha=0.05, resamples=2000, paired=paired
    )
    growth = after.mean() - before.mean()
    error = np.sqrt((before.var() + after.var()) / 2000)  # the two sides are independent
    assert test.difference == pytest.approx(growth)
    assert test.worst == pytest.approx(growth + 1.645 * error, abs=0.1 * error)
    assert test.p_value == pytest.approx(norm.sf((0.05 - growth) / error), abs=0.02)


def test_a_growth_by_the_margin_is_not_refuted() -> None:
    lengths = [10.0] * 30
    test = not_worse(
        ([2] * 30, lengths), ([3] * 30, lengths),
        margin=0.1, alpha=0.05, resamples=100, paired=True,
    )  # fmt: skip
    assert test.p_value == 1
    with pytest.raises(ValueError, match="30 items before and 0 after"):
        not_worse(([2] * 30, lengths), ([], []), margin=1, alpha=0.1, resamples=9, paired=False)
