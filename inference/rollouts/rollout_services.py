"""Every change of rollouts: starting one, its steps, and the ends that a person or the controller brings about.

The endpoint's lock guards its rollout and its split together, whoever comes: a person, a second person, the controller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.errors import Conflict, DomainError, InvalidInput, NotFound
from governance.principals import SYSTEM, Principal
from inference.registry.models import ModelVersion, TrainingReference
from inference.rollouts.asking import answer_to, ask_person
from inference.rollouts.lifecycle import database_time, keep, move, open_rollout
from inference.rollouts.models import Endpoint, Rollout
from inference.rollouts.plans import Plan, checked_plan
from inference.rollouts.splitting import (
    Kind,
    last_change_in_force,
    locked,
    restorable,
    split_of,
    versions_for,
    write_split,
)
from inference.rollouts.states import ROLLOUT_STATES

State = Rollout.State


def start_rollout(
    *,
    principal: Principal,
    endpoint_id: UUID,
    kind: str,
    version: str,
    plan: Mapping[str, Any] | None = None,
    reason: str = "",
) -> Rollout:
    """Begin to bring a version in beside the one that has all traffic, and give it its first share.

    `plan` is checked by `plans.checked_plan`. Raises Conflict while another rollout is open or the traffic is divided.
    """
    if kind not in (Rollout.Kind.CANARY, Rollout.Kind.BLUE_GREEN):
        raise InvalidInput(_("There is no such kind of rollout."))
    checked = checked_plan(kind, plan or {})
    with transaction.atomic():
        endpoint = locked(endpoint_id)
        require(principal, "rollouts.endpoint.split", endpoint)
        before, stable = whole_split(endpoint)
        if version == stable.version:
            raise InvalidInput(_("Version %(version)s has all traffic already.") % {"version": version})
        weights = shares(before, stable.version, version, checked.steps[0].percent)
        versions = versions_for(endpoint, restorable(endpoint, weights))
        candidate = next(found for found in versions if found.version == version)
        if checked.of_reference is not None:
            _require_reference(candidate)
        rollout = begin_rollout(
            endpoint,
            versions,
            principal=principal,
            kind=kind,
            stable=stable,
            candidate=candidate,
            plan=checked.to_json(),
            before=before,
            reason=reason,
        )
    return rollout


def advance(*, principal: Principal, rollout_id: UUID, reason: str = "") -> Rollout:
    """Give the candidate the share of the next step. Raises Conflict when there is none, or it is not running."""
    with transaction.atomic():
        endpoint, rollout = locked_rollout(principal, rollout_id)
        plan = Plan.from_json(rollout.plan)
        if rollout.state != State.RUNNING or rollout.step + 1 >= len(plan.steps):
            raise Conflict(_("The rollout has no next step."))
        rollout.step += 1
        _begin_step(rollout)
        assert rollout.candidate is not None
        percent = plan.steps[rollout.step].percent
        weights = shares(split_of(endpoint), rollout.stable.version, rollout.candidate.version, percent)
        set_shares(endpoint, rollout, weights, principal=principal, reason=reason)
        keep(rollout, "advance", principal=principal, reason=reason)
    return rollout


def promote(
    *,
    principal: Principal,
    rollout_id: UUID,
    reason: str = "",
    version: str = "",
    expected_state: str = "",
    expected_step: int | None = None,
) -> Rollout:
    """Give the candidate all traffic and end the rollout. The stable version stays reachable by its number.

    Where several versions compete, `version` says which of them wins.
    """
    with transaction.atomic():
        endpoint, rollout = locked_rollout(principal, rollout_id, expected_state, expected_step)
        _check_open(rollout, State.PROMOTED, principal)
        winner = rollout.candidate.version if rollout.candidate is not None else version
        if winner not in rollout.versions or (version and version != winner):
            raise InvalidInput(
                _("Say which version wins: %(versions)s.") % {"versions": ", ".join(rollout.versions)}
            )
        weights = {**dict.fromkeys(split_of(endpoint), 0), winner: 100}
        set_shares(endpoint, rollout, weights, principal=principal, reason=reason)
        move(rollout, State.PROMOTED, principal=principal, reason=reason)
    return rollout


def roll_back_rollout(
    *,
    principal: Principal,
    rollout_id: UUID,
    reason: str,
    expected_state: str = "",
    expected_step: int | None = None,
) -> Rollout:
    """Return to the split from before the rollout: its candidate was judged."""
    return _return(principal, rollout_id, State.ROLLED_BACK, reason, expected_state, expected_step)


def cancel_rollout(
    *,
    principal: Principal,
    rollout_id: UUID,
    reason: str = "",
    expected_state: str = "",
    expected_step: int | None = None,
) -> Rollout:
    """Return to the split from before the rollout without a judgement about its candidate."""
    return _return(principal, rollout_id, State.CANCELLED, reason, expected_state, expected_step)


def hold(
    *,
    principal: Principal,
    rollout_id: UUID,
    reason: str,
    expected_state: str = "",
    expected_step: int | None = None,
) -> Rollout:
    """Leave the traffic as it is until a person decides, who is asked through the oversight queue."""
    with transaction.atomic():
        _endpoint, rollout = locked_rollout(principal, rollout_id, expected_state, expected_step)
        move(rollout, State.HOLDING, principal=principal, reason=reason)
        ask_person(rollout, reason)
    return rollout


def follow_answer(*, rollout_id: UUID) -> bool:
    """Do what a person decided about a waiting rollout, if somebody did; whether anything was done.

    What cannot be done (the version is gone meanwhile) is asked again, with the reason.
    """
    with transaction.atomic():
        _endpoint, rollout = locked_rollout(SYSTEM, rollout_id)
        answer = answer_to(rollout) if rollout.state == State.HOLDING else None
        if answer is None:
            return False
        given: dict[str, Any] = {"principal": SYSTEM, "rollout_id": rollout_id, "reason": answer.reason}
        try:
            with transaction.atomic():
                if answer.verb == "promote":
                    promote(**given, version=answer.version)
                else:
                    (resume if answer.verb == "resume" else roll_back_rollout)(**given)
        except DomainError as refused:
            why = _("%(wanted)s But that cannot be done: %(refusal)s") % {
                "wanted": answer.reason,
                "refusal": str(refused),
            }
            rollout.ended_reason = why
            rollout.save(update_fields=["ended_reason"])
            ask_person(rollout, why)
    return True


def resume(
    *,
    principal: Principal,
    rollout_id: UUID,
    reason: str = "",
    expected_state: str = "",
    expected_step: int | None = None,
) -> Rollout:
    """Let a rollout that waits for a person look at its present step once more, from the beginning."""
    with transaction.atomic():
        _endpoint, rollout = locked_rollout(principal, rollout_id, expected_state, expected_step)
        move(rollout, State.RUNNING, principal=principal, reason=reason)
        _begin_step(rollout)
    return rollout


def begin_rollout(
    endpoint: Endpoint,
    versions: dict[ModelVersion, int],
    *,
    principal: Principal,
    kind: str,
    stable: ModelVersion,
    candidate: ModelVersion | None,
    plan: dict[str, Any],
    before: dict[str, int],
    reason: str,
) -> Rollout:
    """Write a new rollout and its first split; the endpoint is locked."""
    now = database_time()
    rollout = Rollout.objects.create(
        tenant_id=endpoint.tenant_id,
        endpoint=endpoint,
        kind=kind,
        stable=stable,
        candidate=candidate,
        plan=plan,
        before=before,
        step_started_at=now,
        started_at=now,
        reason=reason,
        started_by_kind=principal.kind,
        started_by_id=principal.id,
        started_by_label=principal.label[:200],
    )
    write_split(endpoint, versions, principal=principal, kind=Kind.SET, reason=reason, rollout=rollout)
    first = {version.version: weight for version, weight in versions.items()}
    keep(rollout, "start", principal=principal, reason=reason, details={"kind": kind, "split": first})
    return rollout


def shares(present: Mapping[str, int], stable: str, candidate: str, percent: int) -> dict[str, int]:
    """The split in which the candidate has `percent` and the stable version the rest; others keep standing by."""
    return {**dict.fromkeys(present, 0), stable: 100 - percent, candidate: percent}


def _return(
    principal: Principal,
    rollout_id: UUID,
    target: str,
    reason: str,
    expected_state: str,
    expected_step: int | None,
) -> Rollout:
    with transaction.atomic():
        endpoint, rollout = locked_rollout(principal, rollout_id, expected_state, expected_step)
        _check_open(rollout, target, principal)
        change = last_change_in_force(endpoint, rollout=rollout)
        write_split(
            endpoint,
            versions_for(endpoint, restorable(endpoint, rollout.before)),
            principal=principal,
            kind=Kind.ROLL_BACK,
            reason=reason,
            undoes=change,
            rollout=rollout,
        )
        move(rollout, target, principal=principal, reason=reason)
    return rollout


def set_shares(
    endpoint: Endpoint, rollout: Rollout, weights: Mapping[str, int], *, principal: Principal, reason: str
) -> None:
    """Move the traffic of a rollout; the endpoint is locked."""
    if dict(weights) != split_of(endpoint):
        write_split(
            endpoint,
            versions_for(endpoint, restorable(endpoint, dict(weights))),
            principal=principal,
            kind=Kind.SET,
            reason=reason,
            rollout=rollout,
        )


def _require_reference(candidate: ModelVersion) -> None:
    """Raise InvalidInput where there is nothing that a guardrail on drift from the training data could compare with."""
    made = TrainingReference.objects.filter(model_version=candidate, revision__isnull=False)
    if not made.exists():
        raise InvalidInput(
            _(
                "Version %(version)s has no training reference, which the guardrail “drift_reference” compares with."
            )
            % {"version": candidate.version},
            hint=_("Make one from a batch job over its training data, or leave the guardrail out."),
        )


def _begin_step(rollout: Rollout) -> None:
    """What was seen before belongs to the step before.

    Not so for an experiment, whose shares stay: it goes on with what it has, and with what is stopped.
    """
    rollout.step_started_at = database_time()
    if rollout.kind == Rollout.Kind.EXPERIMENT:
        rollout.memory["extended"] = rollout.memory.get("extended", 0) + 1
    else:
        rollout.memory = {}
    rollout.save(update_fields=["step", "step_started_at", "memory"])


def whole_split(endpoint: Endpoint) -> tuple[dict[str, int], ModelVersion]:
    """The present split and the one version that has all of it."""
    if open_rollout(endpoint) is not None:
        raise Conflict(
            _("The endpoint “%(name)s” has a rollout already.") % {"name": endpoint.name},
            hint=_("Promote it, roll it back or cancel it first."),
        )
    before = split_of(endpoint)
    arm = endpoint.arms.select_related("model_version").filter(weight=100).first()
    if arm is None:
        raise Conflict(
            _("The traffic of the endpoint “%(name)s” is divided.") % {"name": endpoint.name},
            hint=_("Give one version everything first; a rollout goes from there."),
        )
    return before, arm.model_version


def _check_open(rollout: Rollout, target: str, principal: Principal) -> None:
    """Before the traffic moves: the step that comes after it must be legal."""
    ROLLOUT_STATES.check(rollout.state, target, principal.roles)


def locked_rollout(
    principal: Principal, rollout_id: UUID, expected_state: str = "", expected_step: int | None = None
) -> tuple[Endpoint, Rollout]:
    """The endpoint, locked, and its rollout as it is now. Raises NotFound, or Conflict when it is not as expected."""
    known = Rollout.objects.only("endpoint_id").filter(pk=rollout_id).first()
    if known is None:
        raise NotFound(_("There is no such rollout."))
    endpoint = locked(known.endpoint_id)
    rollout = (
        Rollout.objects.select_for_update(of=("self",))
        .select_related("stable", "candidate", "endpoint")
        .get(pk=rollout_id)
    )
    require(principal, "rollouts.endpoint.split", endpoint)
    if (expected_state and rollout.state != expected_state) or (
        expected_step is not None and rollout.step != expected_step
    ):
        raise Conflict(
            _("The rollout has moved on since you looked: it is %(state)s, step %(step)d.")
            % {"state": rollout.get_state_display(), "step": rollout.step + 1},
            hint=_("Reload to see its present state."),
        )
    return endpoint, rollout
