"""Writing to the audit log."""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

from django.db import transaction

from governance.audit.chain import plain
from governance.audit.holding import hold, now
from governance.audit.models import AuditEntry
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import current_request_id, platform_scope
from governance.tenants.models import Tenant

NO_TARGET = ObjectRef(type="", id="")
# Labels of data whose every reading is recorded.
RECORDED_LABELS = frozenset({"restricted"})


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
    and no payload. It is inserted together with the transaction's other entries as its last statement (`holding`), and
    has its number, time and hashes from then on: two round trips for each chain.
    """
    chain = tenant_id or principal.tenant_id or platform_tenant_id()
    entry = AuditEntry(
        tenant_id=chain,
        at=now(),
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
    )
    # Without a savepoint: an entry that cannot be written takes what it is about along.
    with transaction.atomic(savepoint=False):
        hold(entry)
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
