"""The steps of a rollout's life: checked against the table, written, kept in the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection

from governance.audit.services import record
from governance.principals import Principal
from governance.refs import ObjectRef
from inference.rollouts.asking import forget_question
from inference.rollouts.models import Endpoint, Rollout
from inference.rollouts.states import OPEN, ROLLOUT_STATES

VERBS = {
    Rollout.State.RUNNING: "resume",
    Rollout.State.HOLDING: "hold",
    Rollout.State.PROMOTED: "promote",
    Rollout.State.ROLLED_BACK: "roll_back",
    Rollout.State.CANCELLED: "cancel",
}


def database_time() -> datetime:
    """The database's clock: the one clock that all processes of a rollout share."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def open_rollout(endpoint: Endpoint) -> Rollout | None:
    """The endpoint's rollout that has not ended, if there is one. The endpoint's lock guards it."""
    return endpoint.rollouts.select_related("stable", "candidate").filter(state__in=OPEN).first()


def move(
    rollout: Rollout, target: str, *, principal: Principal, reason: str, details: dict[str, Any] | None = None
) -> None:
    """Take a rollout into another state; what a person was asked about it is taken back. Raises IllegalTransition."""
    ROLLOUT_STATES.check(rollout.state, target, principal.roles)
    if rollout.state == Rollout.State.HOLDING:
        forget_question(rollout, reason)
    rollout.state = target
    rollout.ended_reason = reason
    rollout.ended_at = None if target in OPEN else database_time()
    rollout.save(update_fields=["state", "ended_reason", "ended_at"])
    keep(rollout, VERBS[Rollout.State(target)], principal=principal, reason=reason, details=details)


def keep(
    rollout: Rollout, verb: str, *, principal: Principal, reason: str, details: dict[str, Any] | None = None
) -> None:
    """Write what was done to a rollout into the audit log."""
    record(
        principal=principal,
        action=f"rollouts.rollout.{verb}",
        target=ObjectRef.of(rollout),
        tenant_id=rollout.tenant_id,
        reason=reason,
        details={"endpoint": str(rollout.endpoint_id), "step": rollout.step, **(details or {})},
    )
