"""The sequential tests: the published formula, what inverts what, and error rates under continuous looks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from inference.rollouts.analysis.sequential import (
    Comparison,
    Rate,
    Sums,
    always_valid_p,
    exact_evidence,
    half_width,
    log_likelihood_ratio,
    two_means,
    two_proportions,
    welch_z_test,
    z_test,
)

ALPHA = 0.05


@st.composite
def rates(draw: st.DrawFn, most: int = 5000) -> Rate:
    count = draw(st.integers(0, most))
    return Rate(count, draw(st.integers(0, count)))


taus = st.floats(1e-3, 0.2)


def test_the_likelihood_ratio_is_the_published_formula() -> None:
    """Johari et al.: √(V/(V+nτ²)) · exp(n²τ²(ȳ−x̄)² / (2V(V+nτ²)))."""
    n, x, y, tau = 4000, 0.10, 0.13, 0.03
    v = x * (1 - x) + y * (1 - y)
    expected = math.sqrt(v / (v + n * tau**2)) * math.exp(
        n**2 * tau**2 * (y - x) ** 2 / (2 * v * (v + n * tau**2))
    )
    assert math.exp(log_likelihood_ratio(y - x, v / n, tau=tau)) == pytest.approx(expected)
    compared = two_proportions(Rate(n, round(n * x)), Rate(n, round(n * y)), tau=tau, alpha=ALPHA)
    assert compared.likelihood_ratio == pytest.approx(expected, rel=0.05)
    assert compared.decided


def test_the_likelihood_ratio_is_the_mixture_it_claims_to_be() -> None:
    difference, variance, tau, null = 0.02, 0.0001, 0.015, 0.005

    def weighed(theta: float) -> float:
        likelihood = stats.norm.pdf(difference, theta, math.sqrt(variance))
        return float(likelihood * stats.norm.pdf(theta, null, tau))

    mixed, _ = integrate.quad(weighed, -0.3, 0.3, points=[null, difference])
    expected = mixed / stats.norm.pdf(difference, null, math.sqrt(variance))
    assert math.exp(log_likelihood_ratio(difference, variance, tau=tau, null=null)) == pytest.approx(expected)


@settings(deadline=None, max_examples=60)
@given(st.floats(1e-8, 1), taus, st.floats(1e-4, 0.5), st.floats(-1, 1))
def test_the_ratio_is_one_over_alpha_exactly_at_the_end_of_the_sequence(
    variance: float, tau: float, alpha: float, null: float
) -> None:
    reach = half_width(variance, tau=tau, alpha=alpha)
    ratio = log_likelihood_ratio(null + reach, variance, tau=tau, null=null)
    assert ratio == pytest.approx(math.log(1 / alpha), abs=1e-6, rel=1e-6)


@settings(deadline=None, max_examples=60)
@given(rates(), rates(), taus)
def test_a_hypothesis_is_rejected_where_the_interval_does_not_reach(
    stable: Rate, canary: Rate, tau: float
) -> None:
    interval = two_proportions(stable, canary, tau=tau, alpha=ALPHA).interval
    if interval is None:
        assert not stable.count or not canary.count
        return
    assert -1 <= interval.low <= interval.high <= 1
    for end, outwards in ((interval.low, -1), (interval.high, 1)):
        if abs(end) < 0.999:
            beyond, within = end + outwards * 1e-4, end - outwards * 1e-4
            assert two_proportions(stable, canary, tau=tau, alpha=ALPHA, null=beyond).decided
            assert not two_proportions(stable, canary, tau=tau, alpha=ALPHA, null=within).decided


@settings(deadline=None, max_examples=60)
@given(rates(), rates(), taus)
def test_swapping_the_arms_turns_the_comparison_around(stable: Rate, canary: Rate, tau: float) -> None:
    one = two_proportions(stable, canary, tau=tau, alpha=ALPHA)
    other = two_proportions(canary, stable, tau=tau, alpha=ALPHA)
    assert one.p_value == pytest.approx(other.p_value)
    if one.interval and other.interval:
        assert one.interval.low == pytest.approx(-other.interval.high, abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-50, 50), min_size=1))
def test_the_p_value_never_rises(log_ratios: list[float]) -> None:
    p = 1.0
    for ratio in log_ratios:
        following = always_valid_p(ratio, p)
        assert following <= p
        p = following
    assert p == pytest.approx(min(1.0, math.exp(-max(0.0, *log_ratios, 0.0))))


@pytest.mark.parametrize(
    ("stable", "canary"),
    [
        (Rate(0, 0), Rate(10, 5)),
        (Rate(10, 5), Rate(0, 0)),
        (Rate(50, 0), Rate(50, 0)),
        (Rate(50, 50), Rate(50, 50)),
        (Rate(1, 0), Rate(1, 1)),
    ],
)
def test_without_data_or_spread_nothing_is_decided(stable: Rate, canary: Rate) -> None:
    assert not two_proportions(stable, canary, tau=0.05, alpha=ALPHA).decided
    assert not z_test(stable, canary, alpha=0.01).decided


def test_total_failure_is_decided_though_neither_arm_has_spread() -> None:
    compared = two_proportions(Rate(200, 0), Rate(200, 200), tau=0.05, alpha=ALPHA)
    assert compared.decided and math.isfinite(compared.likelihood_ratio)


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize("rate", [0.002, 0.1])
def test_continuous_looks_reject_no_more_often_than_promised(rate: float, share: float) -> None:
    """200 A/A runs of 20 looks each, for arms of equal and of very unequal size."""
    random, total, looks = np.random.default_rng(7), 8000, 20
    canary_n = np.linspace(total * share / looks, total * share, looks).astype(int)
    stable_n = np.linspace(total * (1 - share) / looks, total * (1 - share), looks).astype(int)
    rejected = 0
    for _ in range(200):
        canary_hits = np.cumsum(random.binomial(np.diff(canary_n, prepend=0), rate))
        stable_hits = np.cumsum(random.binomial(np.diff(stable_n, prepend=0), rate))
        rejected += any(
            two_proportions(Rate(int(n), int(a)), Rate(int(m), int(b)), tau=0.02, alpha=ALPHA).decided
            for n, a, m, b in zip(stable_n, stable_hits, canary_n, canary_hits, strict=True)
            if m >= 100
        )
    assert rejected / 200 <= ALPHA


def test_means_are_compared_by_their_sums() -> None:
    random = np.random.default_rng(3)
    x, y = random.gamma(2, 10, 3000), random.gamma(2, 11, 1500)
    compared = two_means(_sums(x), _sums(y), tau=2.0, alpha=ALPHA)
    variance = x.var() / len(x) + y.var() / len(y)
    expected = log_likelihood_ratio(y.mean() - x.mean(), variance, tau=2.0)
    assert math.log(compared.likelihood_ratio) == pytest.approx(expected, rel=0.01)
    assert compared.interval is not None and 2.0 in compared.interval
    welch = welch_z_test(_sums(x), _sums(y), alpha=ALPHA)
    assert welch.p_value == pytest.approx(float(stats.ttest_ind(x, y, equal_var=False).pvalue), rel=0.05)


def test_means_without_spread_say_nothing_at_once_and_are_believed_in_time() -> None:
    few, many = Sums(2, 10, 50), Sums(400, 2000, 10000)
    assert two_means(Sums(1, 5, 25), many, tau=0.1, alpha=ALPHA).interval is None
    early, late = (two_means(arm, arm, tau=0.1, alpha=ALPHA) for arm in (few, many))
    assert early.interval and late.interval and late.interval.width < 0.1 * early.interval.width
    assert not early.decided and not late.decided


def test_the_z_test_is_the_textbook_s() -> None:
    compared = z_test(Rate(1000, 100), Rate(800, 110), alpha=ALPHA)
    chi2 = stats.chi2_contingency([[100, 900], [110, 690]], correction=False)
    assert compared.p_value == pytest.approx(float(chi2.pvalue))
    assert compared.decided and not compared.always_valid


@settings(deadline=None, max_examples=60)
@given(rates(40), rates(40), st.floats(0, 0.5))
def test_exact_evidence_is_the_least_over_the_whole_hypothesis(
    stable: Rate, canary: Rate, tolerance: float
) -> None:
    """Against a search of the boundary, where the greatest likelihood lies unless the arms' own rates are allowed."""
    x, y = (arm.value or 0.0 for arm in (stable, canary))
    at = np.linspace(1e-9, 1 - tolerance - 1e-9, 5000)
    log_likelihood = _log_pmf(stable, at) + _log_pmf(canary, at + tolerance)
    allowed = not stable.count or not canary.count or y - x <= tolerance
    greatest = _log_pmf(stable, x) + _log_pmf(canary, y) if allowed else log_likelihood.max()
    mixture = sum(stats.betabinom.logpmf(arm.hits, arm.count, 0.5, 0.5) for arm in (stable, canary))
    found = exact_evidence(stable, canary, tolerance=tolerance)
    assert found <= mixture - greatest + 1e-6
    assert found == pytest.approx(float(mixture - greatest), abs=0.01)


def _log_pmf(rate: Rate, at: np.ndarray | float) -> np.ndarray:
    return np.asarray(stats.binom.logpmf(rate.hits, rate.count, at))


def test_exact_evidence_grows_past_every_level_with_a_canary_that_fails() -> None:
    found = [exact_evidence(Rate(500, 5), Rate(n, n), tolerance=0.01) for n in range(6)]
    assert found == sorted(found) and found[5] > math.log(1000)


def test_impossible_input_is_refused() -> None:
    with pytest.raises(ValueError, match="5 of 4"):
        Rate(4, 5)
    with pytest.raises(ValueError, match="finite"):
        Sums(3, math.nan, 1)
    with pytest.raises(ValueError, match="no sample"):
        Sums(0, 1, 1)
    with pytest.raises(ValueError, match="tau"):
        two_proportions(Rate(4, 1), Rate(4, 1), tau=0, alpha=ALPHA)
    with pytest.raises(ValueError, match="tolerance"):
        exact_evidence(Rate(4, 1), Rate(4, 1), tolerance=1)


def _sums(values: np.ndarray) -> Sums:
    return Sums(len(values), float(values.sum()), float((values**2).sum()))


def test_an_undecided_comparison_says_so() -> None:
    assert not Comparison(0.0, None, 1.0, 1.0, ALPHA, always_valid=True).decided
