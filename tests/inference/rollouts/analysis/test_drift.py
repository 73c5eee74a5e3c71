"""Drift against scipy, its noise without drift, and references that are stored."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inference.rollouts.analysis.drift import (
    Band,
    Reference,
    drift_check,
    kolmogorov_smirnov,
    kolmogorov_smirnov_binned,
    psi,
)
from inference.rollouts.analysis.evidence import Outcome

numbers = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=80)


@settings(deadline=None, max_examples=60)
@given(numbers, st.integers(2, 20))
def test_every_value_is_in_one_bin_and_a_reference_survives_json(values: list[float], bins: int) -> None:
    reference = Reference.of_numbers(np.array(values), bins=bins)
    assert sum(reference.counts) == len(values) and len(reference.counts) <= bins
    assert reference.count(np.array(values)) == reference.counts
    assert sum(reference.count(np.array([-1e9, 1e9]))) == 2
    assert Reference.from_json(json.loads(json.dumps(reference.to_json()))) == reference
    assert psi(reference, reference.counts).index == pytest.approx(0)


@settings(deadline=None, max_examples=60)
@given(numbers, numbers)
def test_the_index_is_the_same_from_both_sides_and_never_negative(a: list[float], b: list[float]) -> None:
    reference = Reference.of_numbers(np.array(a), bins=5)
    counts = reference.count(np.array(b))
    there = psi(reference, counts)
    back = psi(Reference(counts, edges=reference.edges), reference.counts)
    assert there.index == pytest.approx(back.index) and there.index >= 0
    assert sum(there.parts) == pytest.approx(there.index)


def test_the_index_without_drift_is_noise_and_a_real_drift_is_large() -> None:
    random = np.random.default_rng(11)
    reference = Reference.of_numbers(random.normal(size=5000))
    found = [psi(reference, reference.count(random.normal(size=500))) for _ in range(200)]
    assert np.mean([one.index for one in found]) == pytest.approx(found[0].noise, rel=0.15)
    assert {one.band for one in found} == {Band.STABLE}
    assert psi(reference, reference.count(random.normal(0.45, 1, 2000))).band == Band.MODERATE
    assert psi(reference, reference.count(random.normal(1, 1, 2000))).band == Band.LARGE


def test_categories_that_were_never_seen_are_counted_together() -> None:
    reference = Reference.of_categories(["red"] * 50 + ["blue"] * 30 + ["green"] * 2, most=2)
    assert reference.categories == ("blue", "red") and reference.counts == (30, 50, 2)
    assert reference.count(["red", "violet", "green"]) == (0, 1, 2)
    assert Reference.from_json(json.loads(json.dumps(reference.to_json()))) == reference
    assert psi(reference, reference.count(["violet"] * 50)).band == Band.LARGE


@settings(deadline=None, max_examples=60)
@given(numbers, numbers)
def test_the_distance_is_the_greatest_of_all(a: list[float], b: list[float]) -> None:
    x, y = np.array(a), np.array(b)
    found = kolmogorov_smirnov(x, y)
    expected = max(abs(np.mean(x <= at) - np.mean(y <= at)) for at in {*a, *b})
    assert found and found.distance == pytest.approx(expected)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1, 0.2])
def test_its_p_value_is_near_scipy_s(shift: float) -> None:
    random = np.random.default_rng(12)
    a, b = random.normal(size=900), random.normal(shift, 1, 700)
    found, expected = kolmogorov_smirnov(a, b), stats.ks_2samp(a, b, method="exact")
    assert found and found.distance == pytest.approx(float(expected.statistic))
    assert found.p_value == pytest.approx(float(expected.pvalue), abs=0.02, rel=0.15)


def test_binned_it_is_smaller_and_still_finds_a_drift() -> None:
    random = np.random.default_rng(13)
    before, after = random.normal(size=2000), random.normal(0.3, 1, 1000)
    reference = Reference.of_numbers(before, bins=20)
    exact, binned = (
        kolmogorov_smirnov(before, after),
        kolmogorov_smirnov_binned(reference, reference.count(after)),
    )
    assert exact and binned.distance <= exact.distance and binned.p_value < 1e-6


def test_drift_is_a_check_of_a_judgement() -> None:
    random = np.random.default_rng(14)
    reference = Reference.of_numbers(random.normal(size=5000))
    outcomes = [
        drift_check("age", psi(reference, reference.count(random.normal(shift, 1, n))), alpha=0.01).outcome
        for shift, n in ((0, 1000), (0.45, 1000), (1, 1000), (1, 50))
    ]
    assert outcomes == [Outcome.NO_HARM, Outcome.UNDECIDED, Outcome.HARM, Outcome.TOO_FEW]


def test_impossible_input_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        Reference.of_numbers(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="needs values"):
        Reference.of_numbers(np.array([]))
    with pytest.raises(ValueError, match="one count"):
        Reference((1, 2), edges=())
    with pytest.raises(ValueError, match="ascend"):
        Reference((1, 2, 3), edges=(2.0, 1.0))
    reference = Reference((5, 5), edges=(0.0,))
    with pytest.raises(ValueError, match="one count for each bin"):
        psi(reference, (1, 2, 3))
    with pytest.raises(ValueError, match="numeric reference"):
        kolmogorov_smirnov_binned(Reference((5, 5), categories=("a",)), (1, 2))
    assert kolmogorov_smirnov(np.array([]), np.array([1.0])) is None
