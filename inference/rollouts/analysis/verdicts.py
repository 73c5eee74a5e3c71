"""Promote, hold, roll back, or ask a person: the judgement of one look at one step of a canary.

A pure function of what was observed. For harm, level α is split over the guardrails and the steps of the rollout
(Bonferroni): the chance of rolling back a canary that harms nothing is at most α over all looks, metrics and steps
together. Promotion needs no split, for every required guardrail of every step must rule harm out (an intersection-union
test: Berger 1982): a canary that harms would have to deceive the very guardrail that it breaks, with a chance of at
most α. So intervals are shown at 1 − α, and p-values against the split level.

For a rate, harm is found by either of two always-valid tests at half of a guardrail's level each: the mSPRT on the
side beyond the tolerance, from `min_samples` on; and the exact evidence, which needs no minimum and stops a canary that
fails outright after a handful of requests. How predictions are distributed is judged by `shapes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from inference.rollouts.analysis.evidence import Check, Judgement, Method, Outcome, Verdict
from inference.rollouts.analysis.sequential import (
    Comparison,
    Rate,
    Sums,
    exact_evidence,
    two_means,
    two_proportions,
    welch_z_test,
    z_test,
)
from inference.rollouts.analysis.shapes import shape_check
from inference.rollouts.analysis.windows import ERROR_RATE, REFERENCE, SHAPES, ArmWindow

__all__ = [
    "ERROR_RATE",
    "ArmWindow",
    "Check",
    "Direction",
    "Evidence",
    "Guardrail",
    "Judgement",
    "Method",
    "Outcome",
    "Step",
    "Verdict",
    "judge",
    "level",
]


class Direction(StrEnum):
    """Which change of the metric is the harmful one."""

    INCREASE = "increase"
    DECREASE = "decrease"


class Evidence(StrEnum):
    """What promotion waits for: harm beyond the tolerance ruled out; enough samples without harm; nothing."""

    NO_HARM = "no_harm"
    SAMPLES = "samples"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A bound that the canary must keep.

    `metric` names a figure of `ArmWindow`: “error_rate”, a latency threshold, a rate or a sum. `tolerance` is the harm
    that is put up with, as an absolute difference in the metric's unit (0.01 = one percentage point); `effect` is the
    scale τ of the differences that matter beyond it, the tolerance itself unless given. `min_samples` is needed in each
    arm. A fixed-horizon guardrail is looked at once, when the step is over.
    """

    metric: str
    direction: Direction = Direction.INCREASE
    tolerance: float = 0.0
    effect: float | None = None
    min_samples: int = 100
    evidence: Evidence = Evidence.NO_HARM
    method: Method = Method.ALWAYS_VALID

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise ValueError(f"{self.metric}: a tolerance is a number of at least 0")
        if not (math.isfinite(self.tau) and self.tau > 0):
            raise ValueError(f"{self.metric}: without a tolerance a positive effect must be named")
        if self.min_samples < 2:
            raise ValueError(f"{self.metric}: at least 2 samples are needed in each arm")
        distribution = self.metric in (*SHAPES, REFERENCE)
        if distribution and self.evidence == Evidence.NO_HARM:
            raise ValueError(
                f"{self.metric}: the index has no bound that rules harm out; wait for samples or none"
            )
        if distribution and self.method != Method.ALWAYS_VALID:
            raise ValueError(f"{self.metric}: it is tested at every look")
        if self.method == Method.THRESHOLD:
            raise ValueError(f"{self.metric}: a guardrail is tested always-valid or at a fixed horizon")

    @property
    def tau(self) -> float:
        """The scale of the differences that matter."""
        return self.tolerance if self.effect is None else self.effect

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {key: getattr(value, "value", value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The guardrail of a stored or sent object; missing keys have defaults. Raises ValueError or TypeError."""
        return cls(
            **{
                **stored,
                "direction": Direction(stored.get("direction", Direction.INCREASE)),
                "evidence": Evidence(stored.get("evidence", Evidence.NO_HARM)),
                "method": Method(stored.get("method", Method.ALWAYS_VALID)),
            }
        )


@dataclass(frozen=True, slots=True)
class Step:
    """How far a step has come. It is over when `max_s` has passed or the canary has answered `max_samples` requests.

    Before `min_s` nothing is promoted, however good the evidence: some faults need time to show.
    """

    elapsed_s: float = 0.0
    min_s: float = 0.0
    max_s: float = math.inf
    max_samples: int | None = None

    def ripe(self) -> bool:
        """Whether promotion is allowed yet."""
        return self.elapsed_s >= self.min_s

    def over(self, canary: ArmWindow) -> bool:
        """Whether a decision must not be waited for any longer."""
        filled = self.max_samples is not None and canary.requests >= self.max_samples
        return self.ripe() and (filled or self.elapsed_s >= self.max_s)


def judge(
    *,
    guardrails: Sequence[Guardrail],
    stable: ArmWindow,
    canary: ArmWindow,
    step: Step,
    alpha: float = 0.05,
    steps: int = 1,
    earlier: Judgement | None = None,
    further: Sequence[Check] = (),
) -> Judgement:
    """The verdict of one look.

    `stable` is the baseline of the same age; `steps` is how many steps the rollout has; `earlier` is the last judgement
    of this same step, if any: its p-values are carried on, for the always-valid p-value is the least so far. `further`
    are checks made elsewhere (drift, Mann-Whitney) at the level that `level` returns; they count like guardrails.

    Harm found by any check outranks everything. Then: before `min_s` hold; promote when every required check rules harm
    out; inconclusive when the step is over, which asks a person; else hold. Raises ValueError without any check, or
    for two guardrails of one metric.
    """
    if not guardrails and not further:
        raise ValueError("a canary without a guardrail cannot be judged")
    if len({guardrail.metric for guardrail in guardrails}) < len(guardrails):
        raise ValueError("there are two guardrails of one metric")
    share = level(alpha=alpha, checks=len(guardrails) + len(further), steps=steps)
    over = step.over(canary)
    made = [
        _shape(guardrail, stable, canary, share=share, earlier=before)
        if guardrail.metric in SHAPES
        else _check(
            guardrail,
            stable.metric(guardrail.metric),
            canary.metric(guardrail.metric),
            kind=_kind(guardrail.metric, stable, canary),
            alpha=alpha,
            share=share,
            over=over,
            earlier=before,
        )
        for guardrail in guardrails
        for before in [earlier.check(guardrail.metric) if earlier else None]
    ]
    checks = (*made, *further)
    satisfied = all(check.outcome == Outcome.NO_HARM for check in checks if check.required)
    if any(check.outcome == Outcome.HARM for check in checks):
        verdict = Verdict.ROLL_BACK
    elif step.ripe() and satisfied:
        verdict = Verdict.PROMOTE
    else:
        verdict = Verdict.INCONCLUSIVE if over else Verdict.HOLD
    return Judgement(verdict, checks)


def level(*, alpha: float, checks: int, steps: int = 1) -> float:
    """The level of one check, so that all checks of all steps together err with a chance of at most `alpha`."""
    if not 0 < alpha < 1 or checks < 1 or steps < 1:
        raise ValueError("alpha lies between 0 and 1; there is at least one check and one step")
    return alpha / (checks * steps)


def _check(
    guardrail: Guardrail,
    stable: Rate | Sums,
    canary: Rate | Sums,
    *,
    kind: str,
    alpha: float,
    share: float,
    over: bool,
    earlier: Check | None,
) -> Check:
    """One guardrail's check. Everything is compared as if an increase were the harm: a decrease is turned around."""
    enough = min(stable.count, canary.count) >= guardrail.min_samples
    compared = _compare(guardrail, stable, canary, alpha=alpha)
    p_value = compared.p_value if enough and _beyond(guardrail, compared) else 1.0
    waiting = guardrail.method == Method.FIXED_HORIZON and not over
    if guardrail.method == Method.ALWAYS_VALID:
        p_value = min(p_value, _exact_p(guardrail, stable, canary))
        if earlier is not None and earlier.p_value is not None:
            p_value = min(p_value, earlier.p_value)
    return Check(
        name=guardrail.metric,
        kind=kind,
        direction=guardrail.direction.value,
        tolerance=guardrail.tolerance,
        stable=stable.value,
        canary=canary.value,
        stable_samples=stable.count,
        canary_samples=canary.count,
        min_samples=guardrail.min_samples,
        # A fixed-horizon figure shown early would be peeked at.
        interval=None if waiting else compared.interval,
        p_value=None if waiting else p_value,
        alpha=share,
        method=guardrail.method,
        outcome=Outcome.WAITING if waiting else _outcome(guardrail, compared, enough, p_value <= share),
        required=guardrail.evidence != Evidence.NONE,
        confidence=1 - alpha,
    )


def _shape(
    guardrail: Guardrail, stable: ArmWindow, canary: ArmWindow, *, share: float, earlier: Check | None
) -> Check:
    """The check of a guardrail on the distribution of predictions."""
    return shape_check(
        guardrail.metric,
        stable.shapes.get(guardrail.metric, ()),
        canary.shapes.get(guardrail.metric, ()),
        tolerance=guardrail.tolerance,
        share=share,
        min_samples=guardrail.min_samples,
        required=guardrail.evidence != Evidence.NONE,
        earlier=earlier,
    )


def _outcome(guardrail: Guardrail, compared: Comparison, enough: bool, harm: bool) -> Outcome:
    if harm:
        return Outcome.HARM
    if not enough or compared.interval is None:
        return Outcome.TOO_FEW
    increase = guardrail.direction == Direction.INCREASE
    worst = compared.interval.high if increase else -compared.interval.low
    ruled_out = worst <= guardrail.tolerance
    return Outcome.NO_HARM if ruled_out or guardrail.evidence == Evidence.SAMPLES else Outcome.UNDECIDED


def _compare(guardrail: Guardrail, stable: Rate | Sums, canary: Rate | Sums, *, alpha: float) -> Comparison:
    null = guardrail.tolerance if guardrail.direction == Direction.INCREASE else -guardrail.tolerance
    fixed = guardrail.method == Method.FIXED_HORIZON
    if isinstance(stable, Rate) and isinstance(canary, Rate):
        if fixed:
            return z_test(stable, canary, alpha=alpha, null=null)
        return two_proportions(stable, canary, tau=guardrail.tau, alpha=alpha, null=null)
    before, after = _as_sums(stable), _as_sums(canary)
    if fixed:
        return welch_z_test(before, after, alpha=alpha, null=null)
    return two_means(before, after, tau=guardrail.tau, alpha=alpha, null=null)


def _beyond(guardrail: Guardrail, compared: Comparison) -> bool:
    """Whether the estimate lies on the harmful side of the tolerance."""
    if compared.difference is None:
        return False
    increase = guardrail.direction == Direction.INCREASE
    return (compared.difference if increase else -compared.difference) > guardrail.tolerance


def _exact_p(guardrail: Guardrail, stable: Rate | Sums, canary: Rate | Sums) -> float:
    """Twice the exact always-valid p-value of a rate: the other half of the level is the confidence sequence's."""
    if not (isinstance(stable, Rate) and isinstance(canary, Rate)):
        return 1.0
    if guardrail.direction == Direction.DECREASE:
        stable, canary = _misses(stable), _misses(canary)
    return min(1.0, 2 * math.exp(-max(0.0, exact_evidence(stable, canary, tolerance=guardrail.tolerance))))


def _misses(rate: Rate) -> Rate:
    return Rate(rate.count, rate.count - rate.hits)


def _as_sums(metric: Rate | Sums) -> Sums:
    """An arm that has observed nothing of a continuous metric yet comes as an empty rate."""
    return Sums(metric.count, metric.hits, metric.hits) if isinstance(metric, Rate) else metric


def _kind(metric: str, stable: ArmWindow, canary: ArmWindow) -> str:
    if metric == ERROR_RATE:
        return "errors"
    if metric in stable.slower or metric in canary.slower:
        return "latency"
    return "mean" if metric in stable.sums or metric in canary.sums else "rate"
