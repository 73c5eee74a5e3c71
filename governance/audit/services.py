"""Writing to the audit log."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.utils import timezone

from governance.audit.chain import GENESIS, entry_hash, plain
from governance.audit.models import AuditEntry, AuditHead
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import current_request_id, platform_scope
from governance.tenants.models import Tenant

NO_TARGET = ObjectRef(type="", id="")
# Clocks of several machines differ a little, and are set back a little; within this, time does not run backwards in a
# chain. Beyond it the clock is told as it is, and the numbers say what came first.
CLOCK_STEP = timedelta(minutes=5)
# Labels of data whose every reading is recorded.
RECORDED_LABELS = frozenset({"restricted"})

_COLUMNS = [str(field.column) for field in AuditEntry._meta.concrete_fields]
_LOCK = "SELECT id, sequence, entry_hash, at FROM audit_audithead WHERE tenant_id = %s FOR UPDATE"
_APPEND = (
    f"WITH appended AS (INSERT INTO audit_auditentry ({', '.join(_COLUMNS)})"  # noqa: S608  names of our own columns
    f" VALUES ({', '.join(['%s'] * len(_COLUMNS))}))"
    " UPDATE audit_audithead SET sequence = %s, entry_hash = %s, at = %s WHERE id = %s"
)


def record(
    *,
    principal: Principal,
    action: str,
    target: ObjectRef = NO_TARGET,
    tenant_id: UUID | None = None,
    decision: str = AuditEntry.Decision.ALLOW,
    reason: str = "",
    details: dict[str, Any] | None = None,
) -> AuditEntry:
    """Append one entry to a tenant's chain, in the caller's transaction: both are kept or both are lost.

    `tenant_id` is the chain (default: the principal's tenant, else the platform's). `details` must hold no secret
    and no payload. Costs two round trips: one locks the chain's head, one inserts and moves it.
    """
    chain = tenant_id or principal.tenant_id or platform_tenant_id()
    # Without a savepoint: an entry that cannot be written takes what it is about along.
    with transaction.atomic(savepoint=False):
        head_id, sequence, last_hash, last_at = _locked_head(chain)
        entry = AuditEntry(
            tenant_id=chain,
            sequence=sequence + 1,
            at=_not_before(last_at),
            actor_kind=principal.kind,
            actor_id=principal.id,
            actor_label=plain(principal.label)[:200],
            action=action,
            target_type=target.type,
            target_id=plain(target.id)[:100],
            target_label=plain(target.label)[:200],
            target_digest=target.digest,
            decision=str(decision),
            reason=plain(reason),
            request_id=current_request_id()[:64],
            details=plain(details or {}),
            previous_hash=last_hash or GENESIS,
        )
        entry.entry_hash = entry_hash(entry)
        values = [getattr(entry, field.attname) for field in entry._meta.concrete_fields]
        values[_COLUMNS.index("details")] = json.dumps(entry.details)
        with connection.cursor() as cursor:
            cursor.execute(_APPEND, [*values, entry.sequence, entry.entry_hash, entry.at, head_id])
    entry._state.adding = False
    entry._state.db = DEFAULT_DB_ALIAS
    return entry


def record_read(
    *,
    principal: Principal,
    target: ObjectRef,
    label: str,
    tenant_id: UUID | None = None,
    action: str = "audit.data.read",
    details: dict[str, Any] | None = None,
) -> AuditEntry | None:
    """Record that restricted content was read; for content of any other label nothing is written.

    The decision point calls it for every yes to an action that reads or exports content. `label` is the catalogue's
    (`access.facts.facts_of(…).get("label", "")`).
    """
    if label not in RECORDED_LABELS:
        return None
    return record(
        principal=principal,
        action=action,
        target=target,
        tenant_id=tenant_id,
        details={**(details or {}), "label": label},
    )


@cache
def platform_tenant_id() -> UUID:
    """The id of the platform's own tenant, whose chain holds what belongs to no other."""
    with platform_scope(), transaction.atomic():
        return Tenant.objects.only("id").get(kind=Tenant.Kind.PLATFORM).id


def _locked_head(chain: UUID) -> tuple[UUID, int, str, datetime | None]:
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [chain])
        row = cursor.fetchone()
        if row is None:
            AuditHead.objects.bulk_create([AuditHead(tenant_id=chain)], ignore_conflicts=True)
            cursor.execute(_LOCK, [chain])
            row = cursor.fetchone()
    if row is None:
        raise RuntimeError("The present row-security context does not reach this chain.")
    head_id, sequence, last_hash, last_at = row
    return head_id, sequence, last_hash, last_at


def _not_before(last_at: datetime | None) -> datetime:
    now = timezone.now()
    return last_at if last_at is not None and now < last_at <= now + CLOCK_STEP else now
