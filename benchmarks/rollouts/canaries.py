"""Whole simulated rollouts through `judge`, one look after another, and what naive peeking would have done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from inference.rollouts.analysis.sequential import Rate, two_proportions, z_test
from inference.rollouts.analysis.verdicts import (
    ArmWindow,
    Direction,
    Evidence,
    Guardrail,
    Step,
    Verdict,
    judge,
)

ALPHA = 0.05
LOOKS = 40
GUARDRAILS = (
    Guardrail("error_rate", tolerance=0.01),
    Guardrail("p50", tolerance=0.05),
    Guardrail("p99", tolerance=0.015),
    Guardrail("completed", Direction.DECREASE, tolerance=0.03),
)
DRIFT = Guardrail("drift_prediction", tolerance=0.25, evidence=Evidence.NONE, min_samples=200)


@dataclass(frozen=True)
class Rates:
    """True rates of one arm: failed, slower than the stable p50 and p99, task completed, and each class predicted."""

    error_rate: float = 0.01
    p50: float = 0.5
    p99: float = 0.01
    completed: float = 0.9
    classes: tuple[float, ...] = (0.4, 0.25, 0.15, 0.1, 0.06, 0.04)


class Kind(StrEnum):
    """Below every tolerance (must not be rolled back), past one (must not be promoted), exactly at one (neither)."""

    HARMLESS = "harmless"
    EDGE = "edge"
    HARMFUL = "harmful"


@dataclass(frozen=True)
class Scenario:
    """A canary against a stable arm. `per_look` are the requests of each arm between two looks."""

    name: str
    canary: Rates
    kind: Kind
    stable: Rates = Rates()
    per_look: tuple[int, int] = (200, 200)


STABLE, RARE = Rates(), Rates(error_rate=0.001)
UNEQUAL = (950, 50)
SHIFTED = (0.28, 0.25, 0.15, 0.15, 0.1, 0.07)
FAR = (0.2, 0.2, 0.15, 0.15, 0.15, 0.15)
SCENARIOS = (
    Scenario("A/A, equal arms", STABLE, Kind.HARMLESS),
    Scenario("A/A, canary 5 % of the traffic", STABLE, Kind.HARMLESS, per_look=UNEQUAL),
    Scenario("A/A, errors 0.1 %, canary 5 %", RARE, Kind.HARMLESS, RARE, UNEQUAL),
    Scenario("errors 1 % → 2 %: exactly tolerated", Rates(error_rate=0.02), Kind.EDGE),
    Scenario("errors 0.1 % → 1.1 %, canary 5 %: exactly tolerated", Rates(0.011), Kind.EDGE, RARE, UNEQUAL),
    Scenario("all four metrics exactly tolerated", Rates(0.02, 0.55, 0.025, 0.87), Kind.EDGE),
    Scenario("errors 1 % → 5 %", Rates(error_rate=0.05), Kind.HARMFUL),
    Scenario("errors 1 % → 5 %, canary 5 %", Rates(error_rate=0.05), Kind.HARMFUL, per_look=UNEQUAL),
    Scenario("errors 1 % → 50 %, canary 5 %", Rates(error_rate=0.5), Kind.HARMFUL, per_look=UNEQUAL),
    Scenario("slower than p99: 1 % → 5 %", Rates(p99=0.05), Kind.HARMFUL),
    Scenario("slower than p50: 50 % → 62 %", Rates(p50=0.62), Kind.HARMFUL),
    Scenario("completed 90 % → 82 %", Rates(completed=0.82), Kind.HARMFUL),
    Scenario("classes shifted, index 0.10: tolerated", Rates(classes=SHIFTED), Kind.HARMLESS),
    Scenario("classes shifted, index 0.40", Rates(classes=FAR), Kind.HARMFUL),
)


@dataclass(frozen=True)
class Played:
    """How the rollouts of one scenario ended; the canary's requests until the verdict. Verdicts as shares."""

    case: str
    kind: Kind
    promoted: float
    rolled_back: float
    inconclusive: float
    median_requests: float
    p90_requests: float


@dataclass(frozen=True)
class Ended:
    """One rollout's verdict and the look it came at, counted from 1."""

    verdict: Verdict
    look: int


def play(scenario: Scenario, *, rollouts: int, seed: int) -> list[Ended]:
    """Simulate rollouts of up to 40 looks; each ends with its first verdict other than hold."""
    random = np.random.default_rng(seed)
    names = [guardrail.metric for guardrail in GUARDRAILS]
    counts = [
        {
            name: np.cumsum(random.binomial(size, getattr(rates, name), (rollouts, LOOKS)), axis=1)
            for name in names
        }
        for rates, size in zip((scenario.stable, scenario.canary), scenario.per_look, strict=True)
    ]
    for arm, rates, size in zip(counts, (scenario.stable, scenario.canary), scenario.per_look, strict=True):
        drawn = random.multinomial(size, rates.classes, (rollouts, LOOKS))
        arm[DRIFT.metric] = np.cumsum(drawn, axis=1)
    return [
        _one(scenario, [{name: arm[name][run] for name in [*names, DRIFT.metric]} for arm in counts])
        for run in range(rollouts)
    ]


def summary(scenario: Scenario, ended: list[Ended]) -> Played:
    """The shares of the verdicts, and how many requests of the canary they took."""
    verdicts = Counter(one.verdict for one in ended)
    requests = [one.look * scenario.per_look[1] for one in ended]
    return Played(
        case=scenario.name,
        kind=scenario.kind,
        promoted=verdicts[Verdict.PROMOTE] / len(ended),
        rolled_back=verdicts[Verdict.ROLL_BACK] / len(ended),
        inconclusive=verdicts[Verdict.INCONCLUSIVE] / len(ended),
        median_requests=float(np.median(requests)),
        p90_requests=float(np.quantile(requests, 0.9)),
    )


def peeking(*, rollouts: int, seed: int) -> dict[str, np.ndarray]:
    """The share of A/A runs that each test has called different by each of 50 looks (0.10, 5,000 per arm)."""
    random = np.random.default_rng(seed)
    looks, per_look = 50, 100
    hits = np.cumsum(random.binomial(per_look, 0.10, (2, rollouts, looks)), axis=2)
    first = {"z-test, peeked at": np.full(rollouts, looks), "mSPRT": np.full(rollouts, looks)}
    for run in range(rollouts):
        for look in range(looks):
            n = per_look * (look + 1)
            stable, canary = (Rate(n, int(hits[arm, run, look])) for arm in (0, 1))
            found = {
                "z-test, peeked at": z_test(stable, canary, alpha=ALPHA),
                "mSPRT": two_proportions(stable, canary, tau=0.03, alpha=ALPHA),
            }
            for name, compared in found.items():
                if compared.decided:
                    first[name][run] = min(first[name][run], look)
    return {name: np.array([(at <= look).mean() for look in range(looks)]) for name, at in first.items()}


def _one(scenario: Scenario, arms: list[dict[str, np.ndarray]]) -> Ended:
    for look in range(LOOKS):
        stable, canary = (
            _window(arm, look, requests=size * (look + 1))
            for arm, size in zip(arms, scenario.per_look, strict=True)
        )
        step = Step(elapsed_s=look + 1, max_s=LOOKS)
        verdict = judge(
            guardrails=(*GUARDRAILS, DRIFT), stable=stable, canary=canary, step=step, alpha=ALPHA
        ).verdict
        if verdict != Verdict.HOLD:
            return Ended(verdict, look + 1)
    raise AssertionError("the last look ends the step")


def _window(arm: dict[str, np.ndarray], look: int, *, requests: int) -> ArmWindow:
    return ArmWindow(
        requests=requests,
        errors=int(arm["error_rate"][look]),
        timed=requests,
        slower={name: int(arm[name][look]) for name in ("p50", "p99")},
        rates={"completed": Rate(requests, int(arm["completed"][look]))},
        shapes={DRIFT.metric: tuple(map(int, arm[DRIFT.metric][look]))},
    )
