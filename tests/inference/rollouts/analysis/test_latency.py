"""Latency comparisons against scipy and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from inference.rollouts.analysis.evidence import Outcome
from inference.rollouts.analysis.latency import (
    exceedances,
    hodges_lehmann,
    mann_whitney,
    quantile_comparison,
    quantile_interval,
    shift_check,
)

samples = arrays(np.float64, st.integers(2, 30), elements=st.integers(0, 12).map(float))


@settings(deadline=None, max_examples=60)
@given(samples, samples)
def test_mann_whitney_is_scipy_s(stable: np.ndarray, canary: np.ndarray) -> None:
    found = mann_whitney(stable, canary)
    assert found is not None
    if len(np.unique(np.concatenate([stable, canary]))) == 1:
        assert found.p_value == 1
        return
    expected = stats.mannwhitneyu(canary, stable, method="asymptotic")
    assert found.u == pytest.approx(float(expected.statistic))
    assert found.p_value == pytest.approx(float(expected.pvalue))
    assert found.slower == pytest.approx(found.u / (len(stable) * len(canary)))


@settings(deadline=None, max_examples=60)
@given(samples, samples)
def test_hodges_lehmann_is_the_median_of_all_differences(stable: np.ndarray, canary: np.ndarray) -> None:
    found = hodges_lehmann(stable, canary)
    assert found is not None
    shift, interval = found
    assert shift == pytest.approx(float(np.median(canary[:, None] - stable[None, :])), abs=1e-9)
    assert interval.low <= shift <= interval.high


def test_the_shift_of_large_samples_is_found_without_laying_out_their_pairs() -> None:
    random = np.random.default_rng(2)
    stable, canary = random.lognormal(3, 0.4, 20_000), random.lognormal(3, 0.4, 15_000) + 1.5
    found = hodges_lehmann(stable, canary)
    assert found and found[0] == pytest.approx(1.5, abs=0.3) and 1.5 in found[1]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 400), st.floats(0.05, 0.99), st.floats(0.8, 0.99))
def test_the_interval_of_a_quantile_covers_as_promised(n: int, quantile: float, confidence: float) -> None:
    """With the values 1 … n the interval's ends are ranks, and their coverage is a binomial probability."""
    low, high = quantile_interval(np.arange(1, n + 1), quantile, confidence=confidence)
    above = stats.binom.cdf(high - 1, n, quantile) if high else 1.0
    below = stats.binom.cdf(low - 1, n, quantile) if low else 0.0
    assert above - below >= confidence - 1e-9
    if high and high > 1:  # and no rank nearer would do
        assert stats.binom.cdf(high - 2, n, quantile) < (1 + confidence) / 2 + 1e-9


def test_the_p99_of_a_small_sample_has_no_upper_end() -> None:
    assert quantile_interval(np.arange(367), 0.99)[1] is None
    assert quantile_interval(np.arange(368), 0.99)[1] == 367
    assert quantile_interval(np.array([]), 0.5) == (None, None)


def test_a_slower_tail_is_found_by_exceedances_of_the_stable_p99() -> None:
    random = np.random.default_rng(4)
    threshold = float(np.quantile(random.lognormal(2, 0.5, 50_000), 0.99))
    stable, same = (exceedances(random.lognormal(2, 0.5, 4000), threshold) for _ in range(2))
    slow = exceedances(random.lognormal(2, 0.5, 4000) * 1.5, threshold)
    assert quantile_comparison(stable, slow, alpha=0.05, effect=0.01, tolerance=0.01).decided
    assert not quantile_comparison(stable, same, alpha=0.05, effect=0.01).decided


def test_a_shift_is_a_check_of_a_judgement() -> None:
    random = np.random.default_rng(6)
    stable, canary = random.normal(20, 2, 500), random.normal(21, 2, 500)
    outcomes = [
        shift_check("latency", stable, canary, alpha=0.05, tolerance=tolerance).outcome
        for tolerance in (0.2, 1.0, 3.0)
    ]
    assert outcomes == [Outcome.HARM, Outcome.UNDECIDED, Outcome.NO_HARM]
    assert shift_check("latency", stable[:10], canary, alpha=0.05).outcome == Outcome.TOO_FEW
    empty = shift_check("latency", stable[:0], canary, alpha=0.05)
    assert (empty.outcome, empty.stable, empty.p_value) == (Outcome.TOO_FEW, None, None)


def test_an_empty_arm_says_nothing() -> None:
    none, some = np.array([]), np.array([1.0])
    assert mann_whitney(none, some) is None and hodges_lehmann(some, none) is None
    with pytest.raises(ValueError, match="quantile"):
        quantile_interval(some, 1.0)
