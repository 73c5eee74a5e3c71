"""Writing to the audit log and verifying it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from governance.audit.chain import GENESIS, entry_hash, plain
from governance.audit.models import AuditEntry, AuditHead
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import current_request_id, platform_scope
from governance.tenants.models import Tenant

NO_TARGET = ObjectRef(type="", id="")


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
    and no payload.
    """
    chain = tenant_id or principal.tenant_id or platform_tenant_id()
    with transaction.atomic():
        AuditHead.objects.bulk_create([AuditHead(tenant_id=chain)], ignore_conflicts=True)
        head = AuditHead.objects.select_for_update(of=("self",)).get(tenant_id=chain)
        entry = AuditEntry(
            tenant_id=chain,
            sequence=head.sequence + 1,
            at=timezone.now(),
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
            previous_hash=head.entry_hash or GENESIS,
        )
        entry.entry_hash = entry_hash(entry)
        entry.save(force_insert=True)
        AuditHead.objects.filter(pk=head.pk).update(sequence=entry.sequence, entry_hash=entry.entry_hash)
    return entry


@cache
def platform_tenant_id() -> UUID:
    """The id of the platform's own tenant, whose chain holds what belongs to no other."""
    with platform_scope():
        return Tenant.objects.only("id").get(kind=Tenant.Kind.PLATFORM).id


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What `verify` found in one tenant's chain."""

    tenant: Tenant
    entries: int
    problems: list[str]


def verify() -> Iterator[ChainReport]:
    """Recompute every chain and say where one was changed, shortened, extended or reordered.

    Runs in platform scope; memory is bounded by one batch of entries.
    """
    with platform_scope(), transaction.atomic():
        heads = {head.tenant_id: head for head in AuditHead.objects.all()}
        for tenant in Tenant.objects.order_by("slug"):
            yield _verify_chain(tenant, heads.get(tenant.id))


def _verify_chain(tenant: Tenant, head: AuditHead | None) -> ChainReport:
    problems: list[str] = []
    expected, previous, count = 1, GENESIS, 0
    for entry in AuditEntry.objects.filter(tenant=tenant).order_by("sequence").iterator(chunk_size=1000):
        count += 1
        if entry.sequence != expected:
            problems.append(f"entry {expected} is missing: entry {entry.sequence} comes next")
        if entry.previous_hash != previous:
            problems.append(f"entry {entry.sequence} does not follow the entry before it")
        if entry.entry_hash != entry_hash(entry):
            problems.append(f"entry {entry.sequence} was changed after it was written")
        expected, previous = entry.sequence + 1, entry.entry_hash
    end = (head.sequence, head.entry_hash or GENESIS) if head else (0, GENESIS)
    if end != (expected - 1, previous):
        problems.append(f"the chain ends at entry {expected - 1}, but its head says {end[0]}")
    return ChainReport(tenant=tenant, entries=count, problems=problems)
