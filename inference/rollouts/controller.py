"""The controller of rollouts: looks at each that is running, judges it, and does what the judgement says.

Safe to run twice (an endpoint's lock is taken by one, the others pass on), safe to miss, and safe to start again: what
it decides comes from the plan, the recorded outcomes and the database's clock alone, never from how often it ran.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import override

from governance.errors import DomainError
from governance.ethics.selectors import without_approval
from governance.principals import SYSTEM
from governance.tenants.context import platform_scope
from inference.registry.models import ModelVersion
from inference.rollouts.analysis.shapes import Part, reference_check
from inference.rollouts.analysis.verdicts import (
    ArmWindow,
    Check,
    Evidence,
    Judgement,
    Step,
    Verdict,
    judge,
    level,
)
from inference.rollouts.bandit_rollouts import judged_bandit, weigh
from inference.rollouts.distributions import prediction_bins
from inference.rollouts.experiment_rollouts import judged_experiment, stop_arms
from inference.rollouts.lifecycle import database_time
from inference.rollouts.looks import Look, arm_figures
from inference.rollouts.models import Endpoint, Rollout, RolloutLook
from inference.rollouts.plans import Plan
from inference.rollouts.reference_drift import version_drift
from inference.rollouts.rollout_services import advance, follow_answer, hold, promote, roll_back_rollout
from inference.rollouts.selectors import reference_of
from inference.rollouts.spans import Span
from inference.rollouts.windows import (
    SETTLE,
    THRESHOLD_WINDOW,
    answered_at_all,
    arm_windows,
    latency_thresholds,
)

log = logging.getLogger(__name__)

Action = RolloutLook.Action
# Looks at which nothing changed are kept once a minute: the evidence stays readable and small.
QUIET_LOOK_S = 60.0
LOOK_SHARE = 20
THRESHOLD_ANSWERS = 100
# A working canary of this share would be missed by so many requests with a chance of less than one in ten thousand.
STARVED = 1e-4


def control_rollouts() -> int:
    """Look at every running rollout that is due; returns how many were looked at. One that fails stops no other.

    Those that wait for a person go on as soon as one has answered.
    """
    with platform_scope(), transaction.atomic():
        waiting = list(Rollout.objects.filter(state=Rollout.State.HOLDING).values_list("id", flat=True))
        running = list(
            Rollout.objects.filter(state=Rollout.State.RUNNING)
            .order_by("looked_at")
            .values_list("id", flat=True)
        )
    for rollout_id in waiting:
        try:
            with platform_scope(), override("en"):
                follow_answer(rollout_id=rollout_id)
        except Exception:
            log.exception(
                "the answer about the rollout %s could not be followed; it is tried again", rollout_id
            )
    looked = 0
    for rollout_id in running:
        try:
            looked += look_at(rollout_id)
        except Exception:
            log.exception("the rollout %s could not be looked at; the next look comes soon", rollout_id)
    return looked


def look_at(rollout_id: UUID) -> bool:
    """One look at one rollout, if it is due and nobody else is at it."""
    began_s = time.monotonic()
    with platform_scope(), transaction.atomic(), override("en"):
        endpoint = (
            # Not in the way of rows that point at the endpoint: outcomes, batch jobs.
            Endpoint.objects.select_for_update(of=("self",), skip_locked=True, no_key=True)
            .filter(rollouts=rollout_id, rollouts__state=Rollout.State.RUNNING)
            .first()
        )
        if endpoint is None:
            return False
        rollout = Rollout.objects.select_related("stable", "candidate").get(pk=rollout_id)
        # A clock that was set back makes nothing older than it was at the last look.
        now = max(database_time(), rollout.looked_at or rollout.started_at)
        if rollout.state != Rollout.State.RUNNING or not _due(rollout, now):
            return False
        if rollout.kind == Rollout.Kind.BANDIT:
            look = _act(rollout, judged_bandit(rollout))
        elif rollout.kind == Rollout.Kind.EXPERIMENT:
            look = _act(rollout, judged_experiment(rollout, now))
        else:
            look = _act(rollout, _judged(rollout, Plan.from_json(rollout.plan), now))
        _keep(rollout_id, look, now, took_s=time.monotonic() - began_s)
        return True


def _due(rollout: Rollout, now: datetime) -> bool:
    """Looking at very much traffic takes its time, of which the database shall spend a twentieth at most."""
    every_s = max(rollout.plan["look_every_s"], LOOK_SHARE * rollout.memory.get("took_s", 0.0))
    return rollout.looked_at is None or now >= rollout.looked_at + timedelta(seconds=every_s)


def _judged(rollout: Rollout, plan: Plan, now: datetime) -> Look:
    """The verdict of this look and what is to be done about it."""
    candidate = rollout.candidate
    assert candidate is not None
    if candidate.state != ModelVersion.State.READY:
        return Look(
            Verdict.ROLL_BACK,
            Action.ROLL_BACK,
            _("Version %(version)s is %(state)s and may not answer.")
            % {"version": candidate.version, "state": candidate.get_state_display()},
        )
    if without_approval("registry.modelversion", [candidate.id], tenant_id=rollout.tenant_id):
        return Look(
            Verdict.ROLL_BACK,
            Action.ROLL_BACK,
            _("Version %(version)s has no valid approval, so it takes no traffic.")
            % {"version": candidate.version},
        )
    step = plan.steps[rollout.step]
    elapsed_s = max(0.0, (now - rollout.step_started_at).total_seconds())
    if elapsed_s >= plan.no_traffic_s and _starved(rollout, step.percent):
        return Look(
            Verdict.ROLL_BACK,
            Action.ROLL_BACK,
            _("Version %(version)s answers nothing although it has %(percent)d percent: it cannot be loaded.")
            % {"version": candidate.version, "percent": step.percent},
        )
    thresholds = _thresholds(rollout, plan, now)
    if thresholds is None:
        return Look(
            Verdict.HOLD,
            Action.NONE,
            _("Too few answers of the stable version to fix thresholds and classes by."),
        )
    elapsed_s = max(0.0, (now - rollout.step_started_at).total_seconds())
    stable, canary = _arms(rollout, plan, thresholds, now)
    earlier = rollout.memory.get("judgement")
    judgement = judge(
        guardrails=plan.compared,
        stable=stable,
        canary=canary,
        step=Step(elapsed_s, step.min_s, step.max_s, step.max_samples),
        alpha=plan.alpha,
        steps=len(plan.steps),
        earlier=Judgement.from_json(earlier) if earlier else None,
        further=_against_reference(rollout, plan, now),
    )
    last = rollout.step + 1 == len(plan.steps)
    action = {
        Verdict.PROMOTE: Action.PROMOTE if last else Action.ADVANCE,
        Verdict.ROLL_BACK: Action.ROLL_BACK,
        Verdict.INCONCLUSIVE: Action.ASK,
        Verdict.HOLD: Action.NONE,
    }[judgement.verdict]
    return Look(
        judgement.verdict.value, action, judgement.explanation, judgement, arm_figures(stable, canary)
    )


def _act(rollout: Rollout, look: Look) -> Look:
    """Do what the look concluded. What may not be done (an approval caps the share, say) is left to a person."""
    steps: dict[str, Callable[..., Rollout]] = {
        Action.ADVANCE: advance,
        Action.PROMOTE: partial(promote, version=look.figures.get("winner", "")),
        Action.ROLL_BACK: roll_back_rollout,
        Action.ASK: hold,
        Action.WEIGH: partial(weigh, weights=look.figures.get("weights", {}))
        if "stop" not in look.figures
        else partial(stop_arms, versions=look.figures["stop"]),
    }
    do = steps.get(look.action)
    if do is None:
        return look
    try:
        with transaction.atomic():
            do(principal=SYSTEM, rollout_id=rollout.id, reason=look.reason)
    except DomainError as refused:
        why = _("%(wanted)s But that cannot be done: %(refusal)s") % {
            "wanted": look.reason,
            "refusal": str(refused),
        }
        hold(principal=SYSTEM, rollout_id=rollout.id, reason=why)
        return Look(look.verdict, Action.ASK, why, look.judgement, look.figures)
    return look


def _thresholds(rollout: Rollout, plan: Plan, now: datetime) -> dict[str, int] | None:
    """Latency thresholds of this step, fixed before its window begins, as are the bins of the predictions; None until
    there are enough stable answers.

    Where the stable version had not answered enough before the step, the step begins anew once it has.
    """
    if "thresholds" in rollout.memory:
        known: dict[str, int] = rollout.memory["thresholds"]
        return known
    for until, restart in ((rollout.step_started_at, False), (now, True)):
        span = Span(rollout.endpoint_id, until - THRESHOLD_WINDOW, until)
        found = latency_thresholds(span, rollout.stable_id, plan.quantiles, at_least=THRESHOLD_ANSWERS)
        bins = prediction_bins(span, rollout.stable_id, plan.shapes, at_least=THRESHOLD_ANSWERS)
        if found is not None and (len(bins) == len(plan.shapes) or not plan.waits_for_shapes):
            rollout.memory["thresholds"] = found
            rollout.memory["bins"] = bins
            if restart:
                rollout.step_started_at = now
            rollout.save(update_fields=["memory", "step_started_at"])
            return found
    return None


def _arms(
    rollout: Rollout, plan: Plan, thresholds: dict[str, int], now: datetime
) -> tuple[ArmWindow, ArmWindow]:
    """What the stable version and the candidate did; for blue-green the stable version before the switch."""
    assert rollout.candidate_id is not None
    span = Span(rollout.endpoint_id, rollout.step_started_at + SETTLE, now)
    both = [rollout.stable_id, rollout.candidate_id]
    bins = rollout.memory.get("bins", {})
    percent = plan.steps[rollout.step].percent
    keep = percent / (100 - percent) if plan.baseline == "same_size" and percent < 50 else 1.0
    windows = arm_windows(
        span,
        both,
        thresholds=thresholds,
        feedback=plan.needs_feedback,
        bins=bins,
        thinned=rollout.stable_id if keep < 1 else None,
        keep=keep,
    )
    if rollout.kind == Rollout.Kind.BLUE_GREEN:
        length = max(now - rollout.step_started_at, THRESHOLD_WINDOW)
        earlier = Span(rollout.endpoint_id, rollout.step_started_at - length, rollout.step_started_at)
        windows[rollout.stable_id] = arm_windows(
            earlier, [rollout.stable_id], thresholds=thresholds, feedback=plan.needs_feedback, bins=bins
        )[rollout.stable_id]
    return windows[rollout.stable_id], windows[rollout.candidate_id]


def _against_reference(rollout: Rollout, plan: Plan, now: datetime) -> tuple[Check, ...]:
    """The check of the candidate against its training data, where the plan has one.

    The reference is that of the step's first look: with another one, evidence would begin anew and err twice as often,
    so a step whose reference was replaced or removed compares nothing any more.
    """
    guardrail = plan.of_reference
    if guardrail is None:
        return ()
    assert rollout.candidate_id is not None
    version = ModelVersion.objects.select_related("reference").get(pk=rollout.candidate_id)
    known = reference_of(version)
    if known is not None and "reference" not in rollout.memory:
        rollout.memory["reference"] = str(known.revision)
        rollout.save(update_fields=["memory"])
    parts: list[Part] = []
    if known is not None and rollout.memory["reference"] == str(known.revision):
        span = Span(rollout.endpoint_id, rollout.step_started_at + SETTLE, now)
        parts = [
            Part(part.name, part.reference.counts, part.counts) for part in version_drift(version, span).parts
        ]
    share = level(alpha=plan.alpha, checks=len(plan.guardrails), steps=len(plan.steps))
    required = guardrail.evidence != Evidence.NONE
    check = reference_check(
        guardrail.metric,
        parts,
        tolerance=guardrail.tolerance,
        share=share,
        min_samples=guardrail.min_samples,
        required=required,
    )
    return (check,)


def _starved(rollout: Rollout, percent: int) -> bool:
    """Whether the candidate answered none of so many requests that one that works would have answered one of them."""
    asked, answered = answered_at_all(
        rollout.endpoint_id, rollout.candidate_id, rollout.step_started_at + SETTLE
    )
    return asked > 0 and not answered and max(1 - percent / 100, 1e-2) ** asked < STARVED


def _keep(rollout_id: UUID, look: Look, now: datetime, *, took_s: float) -> None:
    """Remember the look; write it down when something changed, and once a minute otherwise."""
    rollout = Rollout.objects.get(pk=rollout_id)
    last = rollout.evidence.only("verdict", "at").first()
    quiet = (
        look.action == Action.NONE
        and last is not None
        and last.verdict == look.verdict
        and (now - last.at).total_seconds() < QUIET_LOOK_S
    )
    rollout.looked_at = now
    rollout.memory["took_s"] = round(took_s, 3)
    if look.judgement is not None and look.action not in (Action.ADVANCE, Action.PROMOTE):
        rollout.memory["judgement"] = look.judgement.to_json()
    if not quiet:
        rollout.looks += 1
        RolloutLook.objects.create(
            tenant_id=rollout.tenant_id,
            rollout=rollout,
            number=rollout.looks,
            step=rollout.step - (look.action == Action.ADVANCE),
            at=now,
            verdict=look.verdict,
            action=look.action,
            reason=look.reason,
            judgement=look.evidence(),
        )
    rollout.save(update_fields=["looked_at", "looks", "memory"])
