"""How many requests and how long an experiment needs, told before it starts: from what is known of the present version.

Planning is by a fixed horizon, the analysis is not: the figures say when an effect of the smallest size that matters is
shown with the wanted power at the latest; larger ones show sooner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import connection

from inference.registry.models import ModelVersion
from inference.rollouts.analysis.planning import samples_needed
from inference.rollouts.analysis.sequential import Rate
from inference.rollouts.analysis.verdicts import Direction
from inference.rollouts.analysis.windows import ArmWindow
from inference.rollouts.experiment_plans import MEANS, ExperimentPlan
from inference.rollouts.lifecycle import database_time
from inference.rollouts.models import Endpoint
from inference.rollouts.plans import METRICS, OF_FEEDBACK, QUANTILES
from inference.rollouts.spans import Span
from inference.rollouts.windows import arm_windows

WINDOW = timedelta(days=1)
# Fewer samples than this say too little about a version.
ENOUGH = 30
# The rate whose variance is largest: what is planned with where nothing is known.
UNKNOWN_RATE = 0.5
PRESENT_RATE = """
    SELECT count(*) FILTER (WHERE at > %(now)s - interval '1 hour'), count(*) FROM rollouts_outcomerecord
    WHERE endpoint_id = %(endpoint)s AND at > %(now)s - interval '1 day' AND at <= %(now)s
      AND chosen IN ('split', 'sticky', 'stand_in')
"""


@dataclass(frozen=True, slots=True)
class ArmNeed:
    """What one treatment needs: samples of the metric, requests that bring so many, and how long that takes."""

    version: str
    share: int
    samples: int
    requests: int
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class Sizing:
    """The size of an experiment. `duration_s` is None while the endpoint has no requests.

    `baseline` is the present version's value; `assumed`: nothing is known of it, so it is planned with the worst. Where
    not even that is possible (a mean without any value so far), there are no `arms`. `possible`: a rate of `baseline`
    can improve by the effect at all. `told` is the part of the requests that brings a sample; `fits` says whether it
    is done within the plan's longest time.
    """

    metric: str
    baseline: float | None
    assumed: bool
    possible: bool
    effect: float
    level: float
    power: float
    told: float
    per_second: float
    arms: tuple[ArmNeed, ...]
    duration_s: float | None
    longest_s: float
    fits: bool | None


def sizing(endpoint: Endpoint, plan: ExperimentPlan, *, now_per_second: float | None = None) -> Sizing:
    """The size of an experiment on this endpoint. Two queries, three for a metric of feedback.

    `now_per_second` stands for the endpoint's present requests per second where the caller expects others.
    """
    per_second = _per_second(endpoint.id) if now_per_second is None else now_per_second
    window = _present(endpoint, plan)
    baseline, spread, assumed = _spread(plan, window)
    told = _told(plan, window)
    arms: list[ArmNeed] = []
    if spread is not None:
        control = plan.shares[plan.control]
        for version in plan.treatments:
            share = plan.shares[version]
            samples = samples_needed(
                spread=spread,
                effect=plan.effect,
                alpha=plan.level,
                power=plan.power,
                treatment_share=share / (share + control),
            )
            samples = max(samples, plan.min_samples)
            requests = math.ceil(samples / told)
            seconds = requests / (share / 100 * per_second) if per_second else None
            arms.append(ArmNeed(version, share, samples, requests, seconds))
    known = [arm.duration_s for arm in arms if arm.duration_s is not None]
    duration = max(max(known), plan.min_s) if known else None
    return Sizing(
        metric=plan.metric,
        baseline=baseline,
        assumed=assumed,
        possible=_possible(plan, baseline),
        effect=plan.effect,
        level=plan.level,
        power=plan.power,
        told=told,
        per_second=per_second,
        arms=tuple(arms),
        duration_s=duration,
        longest_s=plan.max_s,
        fits=None if duration is None else duration <= plan.max_s,
    )


def _per_second(endpoint_id: UUID) -> float:
    """Requests per second that name no version: of the last hour, or of the last day where that had none."""
    with connection.cursor() as cursor:
        cursor.execute(PRESENT_RATE, {"endpoint": endpoint_id, "now": database_time()})
        row = cursor.fetchone()
    hour, day = row if row is not None else (0, 0)
    return hour / 3600 if hour else day / WINDOW.total_seconds()


def _present(endpoint: Endpoint, plan: ExperimentPlan) -> ArmWindow:
    """What the control did within the last day."""
    control = ModelVersion.objects.get(model_id=endpoint.model_id, version=plan.control)
    now = database_time()
    span = Span(endpoint.id, now - WINDOW, now)
    return arm_windows(span, [control.id], thresholds={}, feedback=plan.metric in OF_FEEDBACK)[control.id]


def _spread(plan: ExperimentPlan, window: ArmWindow) -> tuple[float | None, tuple[float, float] | None, bool]:
    """The present value, the variances of one sample of the control and of a treatment, and whether it is assumed."""
    found = window.metric(plan.metric)
    if plan.metric in MEANS:
        if isinstance(found, Rate) or found.count < ENOUGH:
            return None, None, False
        variance = found.variance(plan.effect)
        return found.value, (variance, variance), False
    if plan.metric in QUANTILES:
        rate, assumed = 1 - QUANTILES[plan.metric], False
    elif found.count < ENOUGH or found.value is None:
        rate, assumed = UNKNOWN_RATE, True
    else:
        rate, assumed = found.value, False
    sign = 1 if METRICS[plan.metric] == Direction.DECREASE else -1
    other = min(max(rate + sign * plan.effect, 0.0), 1.0)
    # As the test does: a rate of 0 among so many is no certainty.
    floor = 0.5 / max(found.count, ENOUGH)
    before, after = (max(value * (1 - value), floor) for value in (rate, other))
    return (None if assumed else rate), (before, after), assumed


def _possible(plan: ExperimentPlan, baseline: float | None) -> bool:
    if baseline is None or plan.metric in MEANS:
        return True
    sign = 1 if METRICS[plan.metric] == Direction.DECREASE else -1
    return 0 <= baseline + sign * plan.effect <= 1


def _told(plan: ExperimentPlan, window: ArmWindow) -> float:
    """The part of the requests that brings a sample of the metric; all of them where nothing is known."""
    refused = window.metric("refused").count
    found = window.timed if plan.metric in QUANTILES else window.metric(plan.metric).count
    return min(1.0, found / refused) if found and refused else 1.0
