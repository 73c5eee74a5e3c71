"""Experiments (A/B/n): treatments run beside the control with fixed shares until one is shown better, or none can be.

What a look concludes comes from the plan, the recorded outcomes and the database's clock alone. The memory holds which
treatments are stopped, which never comes undone, the latency thresholds, which are fixed before anything counts, and
sums of what need not be counted again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.errors import Conflict, InvalidInput
from governance.ethics.selectors import without_approval
from governance.principals import Principal
from inference.registry.models import ModelVersion
from inference.rollouts.analysis.experiment_evidence import Ending, ExperimentJudgement, Stop
from inference.rollouts.analysis.experiments import judge_experiment
from inference.rollouts.analysis.mismatch import mismatch
from inference.rollouts.analysis.verdicts import Step
from inference.rollouts.experiment_plans import PROMOTE, ExperimentPlan, checked_experiment
from inference.rollouts.experiment_windows import Counted, Settled, counted, times_of
from inference.rollouts.looks import Look
from inference.rollouts.models import Rollout, RolloutLook
from inference.rollouts.rollout_services import begin_rollout, locked_rollout, set_shares, whole_split
from inference.rollouts.spans import Span
from inference.rollouts.splitting import locked, restorable, split_of, versions_for
from inference.rollouts.windows import SETTLE, THRESHOLD_WINDOW, answered_at_all, latency_thresholds

Action = RolloutLook.Action
Verdict = RolloutLook.Verdict
# Quantiles of fewer answers than this are no thresholds yet.
THRESHOLD_ANSWERS = 100
# A working arm would be missed by so many requests with a chance of less than one in ten thousand.
SILENT = 1e-4


def start_experiment(
    *, principal: Principal, endpoint_id: UUID, plan: Mapping[str, Any], reason: str = ""
) -> Rollout:
    """Divide the traffic between the version that has all of it, the control, and the treatments of the plan.

    `plan` is checked by `experiment_plans.checked_experiment`. Raises Conflict while another rollout is open or the
    traffic is divided, and AccessDenied where an approval is missing or caps a share.
    """
    with transaction.atomic():
        endpoint = locked(endpoint_id)
        require(principal, "rollouts.endpoint.split", endpoint)
        before, control = whole_split(endpoint)
        checked = checked_experiment(control.version, plan)
        weights = dict.fromkeys(before, 0) | dict(checked.shares)
        return begin_rollout(
            endpoint,
            versions_for(endpoint, restorable(endpoint, weights)),
            principal=principal,
            kind=Rollout.Kind.EXPERIMENT,
            stable=control,
            candidate=None,
            plan=checked.to_json(),
            before=before,
            reason=reason,
        )


def stop_arms(*, principal: Principal, rollout_id: UUID, versions: list[str], reason: str = "") -> Rollout:
    """Give treatments nothing any more; the control gets their shares. What was stopped before stays stopped."""
    with transaction.atomic():
        endpoint, rollout = locked_rollout(principal, rollout_id)
        if rollout.state != Rollout.State.RUNNING or rollout.kind != Rollout.Kind.EXPERIMENT:
            raise Conflict(_("The experiment is not running."))
        plan = ExperimentPlan.from_json(rollout.plan)
        if unknown := sorted(set(versions) - set(plan.treatments)):
            raise InvalidInput(_("“%(version)s” is no treatment of it.") % {"version": unknown[0][:64]})
        present = split_of(endpoint)
        stopped = dict.fromkeys((v for v in plan.treatments if v in versions or not present.get(v)), 0)
        weights = dict.fromkeys(present, 0) | dict(plan.shares) | stopped
        weights[plan.control] = 100 - sum(share for v, share in weights.items() if v != plan.control)
        set_shares(endpoint, rollout, weights, principal=principal, reason=reason)
    return rollout


def judged_experiment(rollout: Rollout, now: datetime) -> Look:
    """What this look concludes, and what is to be done about it."""
    plan = ExperimentPlan.from_json(rollout.plan)
    rows = {
        version.version: version
        for version in ModelVersion.objects.filter(
            model_id=rollout.endpoint.model_id, version__in=list(plan.shares)
        )
    }
    ids = {version: rows[version].id for version in plan.shares}
    barred = _barred(rollout, rows)
    if plan.control in barred:
        reason = _("The control may not answer, so nothing can be compared: a person must decide.")
        return Look(Verdict.INCONCLUSIVE, Action.ASK, reason)
    thresholds = _thresholds(rollout, plan, now)
    if thresholds is None and not barred:
        reason = _("The control has answered too little for its latency to be known.")
        if (now - rollout.started_at).total_seconds() >= plan.max_s:
            return Look(Verdict.INCONCLUSIVE, Action.ASK, reason)
        return Look(Verdict.HOLD, Action.NONE, reason)
    times = times_of(rollout, plan.shares, now, begin=parse_datetime(rollout.memory.get("begin", "")))
    found = counted(
        rollout,
        ids,
        times,
        thresholds=thresholds or {},
        feedback=plan.needs_feedback,
        settled=Settled.from_json(rollout.memory.get("settled", {})),
    )
    stopped = {version: Stop(**why) for version, why in rollout.memory.get("stopped", {}).items()}
    stopped |= {version: stop for version, stop in barred.items() if version not in stopped}
    present = split_of(rollout.endpoint)
    stopped |= {v: Stop("by_hand") for v in plan.treatments if v not in stopped and not present.get(v)}
    if (now - rollout.started_at).total_seconds() >= plan.no_traffic_s:
        stopped |= _silent(rollout, plan, ids, found, stopped)
    judged = judge_experiment(
        terms=plan.terms,
        arms=found.windows,
        step=_step(rollout, plan, now),
        stopped=stopped,
        drawn=mismatch(found.drawn) if found.drawn else None,
    )
    rollout.memory["settled"] = found.settled.to_json()
    rollout.memory["stopped"] = {version: stop.to_json() for version, stop in judged.stopped.items()}
    rollout.save(update_fields=["memory"])
    return _look(plan, judged, present)


def _look(plan: ExperimentPlan, judged: ExperimentJudgement, present: Mapping[str, int]) -> Look:
    """What follows from the judgement; arms that lost their share come before everything but an end."""
    figures: dict[str, Any] = {"experiment": judged.to_json()}
    to_stop = [version for version in judged.stopped if present.get(version)]
    ending = judged.ending
    if to_stop and ending not in (Ending.ALL_STOPPED, Ending.MISMATCH):
        verdict, action = Verdict.HOLD, Action.WEIGH
        figures["stop"] = to_stop
    elif ending in (Ending.ALL_STOPPED, Ending.MISMATCH):
        verdict, action = Verdict.ROLL_BACK, Action.ROLL_BACK
    elif ending == Ending.WINNER:
        verdict, action = Verdict.PROMOTE, Action.PROMOTE if plan.end == PROMOTE else Action.ASK
        figures["winner"] = judged.leader
    elif ending == Ending.NO_WINNER and plan.end == PROMOTE:
        verdict, action = Verdict.ROLL_BACK, Action.ROLL_BACK
    elif ending in (Ending.NO_WINNER, Ending.TIE):
        verdict, action = Verdict.INCONCLUSIVE, Action.ASK
    else:
        verdict, action = Verdict.HOLD, Action.NONE
    return Look(verdict, action, judged.explanation, figures=figures)


def _barred(rollout: Rollout, rows: Mapping[str, ModelVersion]) -> dict[str, Stop]:
    """The arms that may not answer."""
    without = without_approval(
        "registry.modelversion", [row.id for row in rows.values()], tenant_id=rollout.tenant_id
    )
    return {
        version: Stop("not_ready" if row.state != ModelVersion.State.READY else "no_approval")
        for version, row in rows.items()
        if row.state != ModelVersion.State.READY or str(row.id) in without
    }


def _silent(
    rollout: Rollout,
    plan: ExperimentPlan,
    ids: Mapping[str, UUID],
    found: Counted,
    stopped: Mapping[str, Stop],
) -> dict[str, Stop]:
    """Treatments that answered none of so many requests that one that works would have answered one of them."""
    silent = {}
    for version in plan.treatments:
        if version in stopped or found.windows[version].requests:
            continue
        asked, answered = answered_at_all(rollout.endpoint_id, ids[version], rollout.started_at + SETTLE)
        if asked and not answered and max(1 - plan.shares[version] / 100, 1e-2) ** asked < SILENT:
            silent[version] = Stop("silent")
    return silent


def _step(rollout: Rollout, plan: ExperimentPlan, now: datetime) -> Step:
    """How far the experiment has come; each time that a person lets it go on it gets its length once more."""
    rounds = 1 + rollout.memory.get("extended", 0)
    since = rollout.step_started_at if rounds > 1 else rollout.started_at
    return Step(
        elapsed_s=max(0.0, (now - since).total_seconds()),
        min_s=0.0 if rounds > 1 else plan.min_s,
        max_s=plan.max_s,
        max_samples=plan.max_samples * rounds if plan.max_samples is not None else None,
    )


def _thresholds(rollout: Rollout, plan: ExperimentPlan, now: datetime) -> dict[str, int] | None:
    """Latency thresholds, fixed before anything counts; None until the control has enough answers.

    Where it had too few before the start, they come from its first answers, and what came until then does not count.
    """
    if "thresholds" in rollout.memory:
        known: dict[str, int] = rollout.memory["thresholds"]
        return known
    for until, late in ((rollout.started_at, False), (now, True)):
        span = Span(rollout.endpoint_id, until - THRESHOLD_WINDOW, until)
        found = latency_thresholds(span, rollout.stable_id, plan.quantiles, at_least=THRESHOLD_ANSWERS)
        if found is not None:
            rollout.memory["thresholds"] = found
            if late:
                rollout.memory["begin"] = now.isoformat()
            rollout.save(update_fields=["memory"])
            return found
    return None
