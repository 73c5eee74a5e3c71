"""Intervals against scipy's, and that they cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inference.rollouts.analysis.intervals import (
    Interval,
    bootstrap,
    mean_interval,
    newcombe,
    student_t,
    wilson,
)

confidences = st.floats(0.5, 0.999)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 3000), st.data(), confidences)
def test_wilson_is_scipy_s(count: int, data: st.DataObject, confidence: float) -> None:
    hits = data.draw(st.integers(0, count))
    found = wilson(hits, count, confidence=confidence)
    expected = stats.binomtest(hits, count).proportion_ci(confidence, method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert hits / count in found


def test_newcombe_is_his_own_example() -> None:
    """Newcombe 1998, table II, example (a): 56/70 − 48/80 by method 10 is 0.0524 to 0.3339."""
    found = newcombe(48, 80, 56, 70)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe(0, 0, 5, 5) == Interval(-1, 1)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 2000), confidences)
def test_student_s_quantile_is_scipy_s(df: int, confidence: float) -> None:
    assert student_t(confidence, df) == pytest.approx(float(stats.t.ppf((1 + confidence) / 2, df)), rel=1e-6)


def test_a_mean_has_student_s_interval() -> None:
    values = np.array([3.1, 4.0, 5.2, 2.2, 9.1])
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    found = mean_interval(values, confidence=0.9)
    assert found and (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert mean_interval(values[:1]) is None


def test_the_bootstrap_is_reproducible_and_near_the_normal_interval_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(10, 3, 400)
    found = bootstrap(np.mean, values, seed=5)
    assert found == bootstrap(np.mean, values, seed=5)
    exact = mean_interval(values)
    assert found and exact and (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.1)
    assert bootstrap(np.mean, values[:0], seed=5) is None


def test_impossible_input_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 of 3"):
        wilson(-1, 3)
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, 3, confidence=1)
    with pytest.raises(ValueError, match="degree"):
        student_t(0.9, 0)
