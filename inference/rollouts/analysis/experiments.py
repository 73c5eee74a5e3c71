"""The judgement of one look at an A/B/n experiment: which treatments stop, which one has won, or that none will.

A pure function of what was observed, so it is the same however often one looks. Every treatment is held against the
control by the mSPRT's confidence sequence at level α/k for k treatments (Bonferroni). Each sequence covers its true
difference at all looks together with a chance of 1 − α/k, so all k do with 1 − α: the intervals shown are simultaneous
over treatments and looks, and the chance that any treatment is ever called better that is not is at most α. Holm's
procedure on always-valid p-values (Johari, Pekelis, Walsh, arXiv 1512.04922) would keep the same promise; but it first
rejects at α/k as well, so that it finds a single winner no sooner, and it has no intervals that agree with it.
Treatments are held against each other at α / (k(k − 1)/2): a second family of its own, which is only asked which of the
better ones is best.

The promise needs requests that are independent of each other and a share of the traffic that does not follow the
outcomes. A stopped arm's share goes to the control; whoever counts must count only so much of the control as it had
before (`experiment_windows`), or hours would be compared with other hours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference.rollouts.analysis.evidence import Check, Outcome
from inference.rollouts.analysis.experiment_evidence import (
    ArmResult,
    Ending,
    ExperimentJudgement,
    Rival,
    Standing,
    Stop,
)
from inference.rollouts.analysis.intervals import Interval
from inference.rollouts.analysis.mismatch import Mismatch
from inference.rollouts.analysis.sequential import Comparison, Rate, Sums, two_means, two_proportions
from inference.rollouts.analysis.verdicts import ERROR_RATE, ArmWindow, Direction, Guardrail, Step, judge


@dataclass(frozen=True, slots=True)
class Terms:
    """What is compared. `effect` is the smallest difference that matters, in the metric's unit, and the mSPRT's scale.

    `direction` is the change of the metric that harms. `alpha` is the chance of a false winner over all treatments and
    looks, and also the one that a guardrail ever stops an arm wrongly. `min_samples` are needed in both arms, for the
    mSPRT rests on the normal approximation.
    """

    metric: str
    direction: Direction
    effect: float
    alpha: float
    min_samples: int = 100
    guardrails: tuple[Guardrail, ...] = ()


def judge_experiment(
    *,
    terms: Terms,
    arms: Mapping[str, ArmWindow],
    step: Step,
    stopped: Mapping[str, Stop] | None = None,
    drawn: Mismatch | None = None,
) -> ExperimentJudgement:
    """The judgement of one look.

    `arms` are all arms by version, the control first, stopped treatments included; `stopped` those that are stopped
    already or may not answer. In this order: a mismatch of what was drawn ends everything; arms that do harm or are
    worse stop; nobody left; before the step's least time go on; a winner; no treatment that could still win; when the
    step is over a tie or no winner; else go on. The step is over when its time is, or when every arm that is left has
    answered its most requests. Raises ValueError without a treatment.
    """
    control, *treatments = arms
    if not treatments:
        raise ValueError("an experiment has a control and at least one treatment")
    level = terms.alpha / len(treatments)
    results = [_control(terms, control, arms[control])]
    for version in treatments:
        already = (stopped or {}).get(version)
        results.append(_treatment(terms, arms[control], version, arms[version], step, level, already))
    running = [result for result in results[1:] if result.stop is None]
    over = bool(running) and all(step.over(arms[name]) for name in (control, *(r.version for r in running)))
    leader, rivals = _leader(terms, arms, running, treatments=len(treatments))
    newly = {result.version for result in results[1:] if result.stop} - set(stopped or {})
    if drawn is not None and drawn.found:
        ending = Ending.MISMATCH
    elif not running:
        ending = Ending.ALL_STOPPED
    elif newly:
        ending = Ending.STOP_ARMS
    elif not step.ripe():
        ending = Ending.GO_ON
    else:
        ending = _ending(running, leader, rivals, over)
    return ExperimentJudgement(
        ending=ending,
        metric=terms.metric,
        kind=_kind(terms.metric, arms),
        direction=terms.direction.value,
        effect=terms.effect,
        alpha=terms.alpha,
        level=level,
        over=over,
        arms=tuple(results),
        leader=leader.version if leader is not None else "",
        rivals=tuple(rivals),
        drawn=drawn,
    )


def pair_level(alpha: float, treatments: int) -> float:
    """The level of one comparison between treatments."""
    return alpha / max(1, treatments * (treatments - 1) // 2)


def compared(first: Rate | Sums, second: Rate | Sums, *, tau: float, alpha: float) -> Comparison:
    """second − first, always-valid, whether they are rates or means."""
    if isinstance(first, Rate) and isinstance(second, Rate):
        return two_proportions(first, second, tau=tau, alpha=alpha)
    return two_means(_as_sums(first), _as_sums(second), tau=tau, alpha=alpha)


def _ending(
    running: Sequence[ArmResult], leader: ArmResult | None, rivals: Sequence[Rival], over: bool
) -> Ending:
    better = {result.version for result in running if result.standing == Standing.BETTER}
    if leader is not None:
        # A winner is cleared by its own guardrails, and nobody may be ahead of it.
        cleared = all(check.outcome == Outcome.NO_HARM for check in leader.checks if check.required)
        beside = [rival for rival in rivals if not rival.beaten]
        open_ = [rival for rival in beside if rival.version in better or not rival.matched]
        if cleared and not open_:
            return Ending.WINNER
        if not over:
            return Ending.GO_ON
        if cleared and not any(rival.version in better or rival.ahead for rival in beside):
            return Ending.WINNER
        return Ending.TIE
    stuck = all(result.standing == Standing.STUCK for result in running)
    return Ending.NO_WINNER if over or stuck else Ending.GO_ON


def _control(terms: Terms, version: str, window: ArmWindow) -> ArmResult:
    metric = window.metric(terms.metric)
    return ArmResult(version, window.requests, window.errors, metric.count, metric.value, Standing.CONTROL)


def _treatment(
    terms: Terms,
    control: ArmWindow,
    version: str,
    window: ArmWindow,
    step: Step,
    level: float,
    already: Stop | None,
) -> ArmResult:
    before, after = control.metric(terms.metric), window.metric(terms.metric)
    found = compared(before, after, tau=terms.effect, alpha=level)
    enough = min(before.count, after.count) >= terms.min_samples
    standing = _standing(terms, found.interval if enough else None)
    checks: tuple[Check, ...] = ()
    if terms.guardrails and already is None:
        # `steps` divides the level by the treatments: over all of them harm is found wrongly with a chance of alpha.
        judged = judge(
            guardrails=terms.guardrails,
            stable=control,
            canary=window,
            step=step,
            alpha=terms.alpha,
            steps=round(terms.alpha / level),
        )
        checks = judged.checks
    harm = next((check.name for check in checks if check.outcome == Outcome.HARM), None)
    stop = already
    if stop is None and harm is not None:
        stop = Stop("harm", harm)
    elif stop is None and standing == Standing.WORSE:
        stop = Stop("worse", terms.metric)
    return ArmResult(
        version=version,
        requests=window.requests,
        errors=window.errors,
        samples=after.count,
        value=after.value,
        standing=standing,
        difference=found.difference,
        interval=found.interval,
        p_value=found.p_value if enough else None,
        stop=stop,
        checks=checks,
    )


def _standing(terms: Terms, interval: Interval | None) -> Standing:
    if interval is None:
        return Standing.TOO_FEW
    gain = _gain(terms, interval)
    if gain.low > 0:
        return Standing.BETTER
    if gain.high < 0:
        return Standing.WORSE
    return Standing.STUCK if gain.high < terms.effect else Standing.OPEN


def _leader(
    terms: Terms, arms: Mapping[str, ArmWindow], running: Sequence[ArmResult], *, treatments: int
) -> tuple[ArmResult | None, list[Rival]]:
    """The best of those that are shown better than the control, and the others held against it."""
    better = [result for result in running if result.standing == Standing.BETTER]
    if not better:
        return None, []
    sign = 1 if terms.direction == Direction.DECREASE else -1
    leader = max(better, key=lambda result: sign * (result.difference or 0.0))
    best = arms[leader.version].metric(terms.metric)
    rivals = []
    for result in running:
        if result.version == leader.version:
            continue
        other = arms[result.version].metric(terms.metric)
        found = compared(other, best, tau=terms.effect, alpha=pair_level(terms.alpha, treatments))
        enough = min(other.count, best.count) >= terms.min_samples
        lead = _gain(terms, found.interval) if enough and found.interval is not None else None
        rivals.append(
            Rival(
                version=result.version,
                difference=found.difference,
                interval=found.interval,
                beaten=lead is not None and lead.low > 0,
                matched=lead is not None and lead.low > -terms.effect,
                ahead=lead is not None and lead.high < 0,
            )
        )
    return leader, rivals


def _gain(terms: Terms, interval: Interval) -> Interval:
    """The interval turned so that more is better."""
    if terms.direction == Direction.DECREASE:
        return interval
    return Interval(-interval.high, -interval.low)


def _as_sums(metric: Rate | Sums) -> Sums:
    """An arm that has observed nothing of a continuous metric yet comes as an empty rate."""
    return Sums(metric.count, metric.hits, metric.hits) if isinstance(metric, Rate) else metric


def _kind(metric: str, arms: Mapping[str, ArmWindow]) -> str:
    if metric == ERROR_RATE:
        return "errors"
    if any(metric in window.slower for window in arms.values()):
        return "latency"
    return "mean" if any(metric in window.sums for window in arms.values()) else "rate"
