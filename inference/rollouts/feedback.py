"""Feedback about answers: labels, rewards and business events, by the decision's id, late and corrected.

The rows are append-only and name their sender, so they are their own record; the audit log holds what is done because
of them. What belongs to another tenant, or to an endpoint that the sender may not call, looks like what is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from governance.access.decisions import decide
from governance.errors import Conflict, InvalidInput
from governance.principals import Principal
from governance.refs import ObjectRef
from inference.rollouts.lifecycle import database_time
from inference.rollouts.models import Feedback, OutcomeRecord

MAX_ITEMS = 1_000
# An outcome is written behind its answer: feedback may be quicker.
STILL_COMING = timedelta(seconds=10)

Value = str | float


@dataclass(frozen=True, slots=True)
class Item:
    """What one caller tells about one decision, under a key of the caller's own. `values` are by `Feedback.Kind`."""

    decision_id: UUID
    key: str
    values: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one item: `accepted`, `repeated` (known under this key), `conflict` (known otherwise), `unknown`.

    `retry` says that the decision is so young that its record may still be coming.
    """

    decision_id: UUID
    key: str
    status: str
    retry: bool = False


def give_feedback(*, principal: Principal, items: Sequence[Item]) -> list[Receipt]:
    """Keep what is told, item by item; one receipt per item, in their order.

    Raises InvalidInput, and keeps nothing, when the batch contradicts itself: two values of one kind for one decision,
    or one key with two contents.
    """
    if not 1 <= len(items) <= MAX_ITEMS:
        raise InvalidInput(_("A batch holds 1 to %(most)d items.") % {"most": MAX_ITEMS})
    _check_consistent(items)
    if (tenant_id := principal.tenant_id) is None:
        return [Receipt(item.decision_id, item.key, "unknown") for item in items]
    with transaction.atomic():
        now = database_time()
        endpoints = _endpoints_of(principal, tenant_id, {item.decision_id for item in items})
        known = _known(principal, tenant_id, {item.key for item in items})
        receipts, rows = [], {}
        for item in items:
            endpoint_id = endpoints.get(item.decision_id)
            if endpoint_id is None:
                receipts.append(
                    Receipt(item.decision_id, item.key, "unknown", _is_young(item.decision_id, now))
                )
                continue
            earlier = known.get(item.key)
            if earlier is None:
                status = "accepted"
                for kind in item.values:
                    rows[item.key, kind] = _row(principal, tenant_id, item, kind, endpoint_id, now)
            else:
                status = "repeated" if earlier == (item.decision_id, item.values) else "conflict"
            receipts.append(Receipt(item.decision_id, item.key, status))
        try:
            with transaction.atomic():
                Feedback.objects.bulk_create(rows.values())
        except IntegrityError as error:
            raise Conflict(
                _("Somebody sent feedback under one of these keys at the same moment."),
                hint=_("Send the batch again."),
            ) from error
    return receipts


def _check_consistent(items: Sequence[Item]) -> None:
    told: dict[tuple[UUID, str], Value] = {}
    contents: dict[str, tuple[UUID, dict[str, Value]]] = {}
    errors = []
    for number, item in enumerate(items):
        if contents.setdefault(item.key, (item.decision_id, item.values)) != (item.decision_id, item.values):
            errors.append(
                {"pointer": f"/items/{number}/key", "detail": _("This key stands for two contents.")}
            )
        for kind, value in item.values.items():
            if told.setdefault((item.decision_id, kind), value) != value:
                errors.append(
                    {
                        "pointer": f"/items/{number}/{kind}",
                        "detail": _(
                            "Another item of this batch says something else about the same decision."
                        ),
                    }
                )
    if errors:
        raise InvalidInput(
            _("The batch contradicts itself; nothing of it was kept."),
            hint=_("Send a correction in a batch of its own: the newest value counts."),
            errors=errors,
        )


def _endpoints_of(principal: Principal, tenant_id: UUID, decisions: set[UUID]) -> dict[UUID, UUID]:
    """The endpoints of those decisions that the principal may tell something about."""
    found = dict(
        OutcomeRecord.objects.filter(tenant_id=tenant_id, id__in=decisions)
        .exclude(chosen=OutcomeRecord.Chosen.SHADOW)
        .values_list("id", "endpoint_id")
    )
    allowed = {
        endpoint_id
        for endpoint_id in set(found.values())
        if decide(
            principal,
            "rollouts.feedback.send",
            ObjectRef("rollouts.endpoint", str(endpoint_id)),
            tenant_id=tenant_id,
            enforced=True,
        ).allow
    }
    return {decision: endpoint for decision, endpoint in found.items() if endpoint in allowed}


def _known(principal: Principal, tenant_id: UUID, keys: set[str]) -> dict[str, tuple[UUID, dict[str, Value]]]:
    """What this sender has told before under these keys."""
    found: dict[str, tuple[UUID, dict[str, Value]]] = {}
    for row in Feedback.objects.filter(tenant_id=tenant_id, sender_id=principal.id, key__in=keys):
        value: Value | None = row.text if row.kind == Feedback.Kind.LABEL else row.number
        assert value is not None
        found.setdefault(row.key, (row.decision_id, {}))[1][row.kind] = value
    return found


def _row(
    principal: Principal, tenant_id: UUID, item: Item, kind: str, endpoint_id: UUID, now: datetime
) -> Feedback:
    value = item.values[kind]
    return Feedback(
        tenant_id=tenant_id,
        decision_id=item.decision_id,
        endpoint_id=endpoint_id,
        kind=kind,
        text=value if isinstance(value, str) else "",
        number=None if isinstance(value, str) else value,
        key=item.key,
        sender_id=principal.id,
        at=now,
    )


def _is_young(decision_id: UUID, now: datetime) -> bool:
    """From the id alone (its first 48 bits are its time), so that it tells nothing about what is there."""
    if decision_id.version != 7:
        return False
    made = datetime.fromtimestamp((decision_id.int >> 80) / 1000, UTC)
    return abs(now - made) < STILL_COMING
