"""Planned lengths against simulated rollouts."""

from __future__ import annotations

import numpy as np
import pytest

from inference.rollouts.analysis.planning import requests_needed
from inference.rollouts.analysis.verdicts import ArmWindow, Guardrail, Step, Verdict, judge

PLAN = {"rate": 0.02, "tolerance": 0.02, "alpha": 0.05}


@pytest.mark.parametrize(("increase", "verdict"), [(0.0, Verdict.PROMOTE), (0.06, Verdict.ROLL_BACK)])
def test_about_half_of_the_rollouts_are_decided_by_the_planned_length(
    increase: float, verdict: Verdict
) -> None:
    planned = requests_needed(**PLAN, increase=increase)
    assert planned is not None
    random, decided = np.random.default_rng(1), 0
    for _ in range(200):
        looks = [
            judge(
                guardrails=[Guardrail("error_rate", tolerance=0.02, min_samples=50)],
                stable=ArmWindow(n, int(stable)),
                canary=ArmWindow(n, int(canary)),
                step=Step(),
            ).verdict
            for n, stable, canary in zip(
                range(planned // 8, planned + 1, planned // 8),
                np.cumsum(random.binomial(planned // 8, 0.02, 9)),
                np.cumsum(random.binomial(planned // 8, 0.02 + increase, 9)),
                strict=False,
            )
        ]
        decided += verdict in looks
    assert 0.3 <= decided / 200 <= 0.85


def test_smaller_differences_and_smaller_shares_take_longer() -> None:
    base, finer = requests_needed(**PLAN), requests_needed(**{**PLAN, "tolerance": 0.01})
    assert base and finer and finer > 2 * base
    beside_many = requests_needed(**PLAN, canary_share=0.05)
    assert beside_many and beside_many < base


def test_what_is_exactly_tolerated_is_never_decided() -> None:
    assert requests_needed(**PLAN, increase=0.02) is None
    with pytest.raises(ValueError, match="share"):
        requests_needed(**PLAN, canary_share=1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        requests_needed(rate=1.2, tolerance=0.1, alpha=0.05)
