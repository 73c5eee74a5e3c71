"""How long entries are kept: retention per tenant, legal holds, and the signed cut that removal leaves behind."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Min
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.audit import signing
from governance.audit.chain import cut_statement
from governance.audit.gate import require
from governance.audit.models import (
    SHORTEST_RETENTION_DAYS,
    AuditEntry,
    AuditHead,
    ChainCut,
    LegalHold,
    RetentionPolicy,
)
from governance.audit.partitions import drop_empty_partitions
from governance.audit.services import record
from governance.audit.verification import verify_chain
from governance.errors import Conflict, InvalidInput, NotFound
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant

log = logging.getLogger(__name__)

LONGEST_DAYS = 36_500
# Entries that one transaction removes at most.
CUT_AT_ONCE = 20_000


@transaction.atomic
def set_retention(*, principal: Principal, tenant_id: UUID, days: int | None, reason: str) -> None:
    """Keep a tenant's entries for so many days (at least 180), or for ever (None)."""
    require(principal, "audit.retention.manage", tenant_id=tenant_id)
    reason = _reason(reason)
    if days is not None and not SHORTEST_RETENTION_DAYS <= days <= LONGEST_DAYS:
        raise InvalidInput(
            _("Entries are kept for at least %(least)d days, not %(days)d.")
            % {"least": SHORTEST_RETENTION_DAYS, "days": days},
            hint=_("The AI Act asks for logs of at least six months."),
        )
    tenant = _locked_tenant(tenant_id)
    before = RetentionPolicy.objects.filter(tenant=tenant).values_list("days", flat=True).first()
    if days is None:
        RetentionPolicy.objects.filter(tenant=tenant).delete()
    else:
        RetentionPolicy.objects.update_or_create(tenant=tenant, defaults={"days": days})
    record(
        principal=principal,
        action="audit.retention.manage",
        target=ObjectRef.of(tenant),
        tenant_id=tenant_id,
        reason=reason,
        details={"before": before, "days": days},
    )


@transaction.atomic
def set_hold(
    *,
    principal: Principal,
    tenant_id: UUID,
    reason: str,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
) -> LegalHold:
    """Keep entries of this time until somebody else releases the hold, whatever the retention says.

    Only the beginning of a chain can be removed, so everything from `from_at` on stays (None: everything).
    """
    require(principal, "audit.hold.set", tenant_id=tenant_id)
    reason = _reason(reason)
    if principal.accountable_user_id is None:
        raise InvalidInput(_("A legal hold needs a person who sets it."))
    if from_at is not None and to_at is not None and from_at >= to_at:
        raise InvalidInput(_("The hold's end is before its beginning."))
    tenant = _locked_tenant(tenant_id)
    hold = LegalHold.objects.create(
        tenant=tenant, reason=reason, from_at=from_at, to_at=to_at, set_by_id=principal.accountable_user_id
    )
    record(
        principal=principal,
        action="audit.hold.set",
        target=ObjectRef.of(hold),
        tenant_id=tenant_id,
        reason=reason,
        details={"from": from_at, "to": to_at},
    )
    return hold


@transaction.atomic
def release_hold(*, principal: Principal, hold_id: UUID, reason: str) -> LegalHold:
    """End a hold. Nobody releases a hold of their own."""
    hold = LegalHold.objects.select_for_update(of=("self",)).filter(pk=hold_id).first()
    if hold is None:
        raise NotFound(_("There is no such hold."))
    require(principal, "audit.hold.release", hold, context={"requested_by": str(hold.set_by_id)})
    reason = _reason(reason)
    if principal.accountable_user_id is None or principal.accountable_user_id == hold.set_by_id:
        raise Conflict(_("You set this hold yourself, so somebody else must release it."), code="own-request")
    if hold.released_at is not None:
        raise Conflict(_("This hold has been released already."))
    hold.released_by_id = principal.accountable_user_id
    hold.released_at = timezone.now()
    hold.release_reason = reason
    hold.save(update_fields=["released_by", "released_at", "release_reason"])
    record(
        principal=principal,
        action="audit.hold.release",
        target=ObjectRef.of(hold),
        tenant_id=hold.tenant_id,
        reason=reason,
    )
    return hold


def retain() -> int:
    """Remove what every tenant's retention no longer keeps, then the months that are empty; returns the entries.

    A chain that does not hold is left as it is: a cut must not hide what was done to it.
    """
    removed = 0
    with platform_scope():
        with transaction.atomic():
            policies = dict(RetentionPolicy.objects.values_list("tenant_id", "days"))
        for tenant_id, days in policies.items():
            while cut := _cut(tenant_id, timezone.now() - timedelta(days=days)):
                removed += cut.removed
    drop_empty_partitions()
    return removed


@transaction.atomic
def _cut(tenant_id: UUID, before: datetime) -> ChainCut | None:
    holds = LegalHold.objects.filter(tenant_id=tenant_id, released_at=None)
    if holds.filter(from_at=None).exists():
        return None
    held_from = holds.aggregate(first=Min("from_at"))["first"]
    before = min(before, held_from) if held_from else before
    entries = AuditEntry.objects.filter(tenant_id=tenant_id)
    first = entries.order_by("sequence").first()
    kept = entries.filter(at__gte=before).aggregate(first=Min("sequence"))["first"]
    if first is None or kept == first.sequence:
        return None
    head = AuditHead.objects.get(tenant_id=tenant_id)
    through = min((kept or head.sequence + 1) - 1, first.sequence - 1 + CUT_AT_ONCE)
    last = entries.filter(sequence=through).first()
    if last is None or not verify_chain(tenant_id, until=through).ok:
        log.critical("audit chain of tenant %s does not hold: retention leaves it as it is", tenant_id)
        return None
    cut = ChainCut(
        tenant_id=tenant_id,
        through=through,
        last_hash=last.entry_hash,
        removed=through - first.sequence + 1,
        first_at=first.at,
        last_at=last.at,
        at=timezone.now(),
        actor_id=SYSTEM.id,
        actor_label=SYSTEM.label,
    )
    seal = signing.seal(tenant_id, cut_statement(cut))
    cut.key_name, cut.key_id = seal.key_name, seal.key_id
    cut.algorithm, cut.signature = seal.algorithm, seal.signature
    cut.save(force_insert=True)
    # The database asks once more itself (age, holds, the hash) and removes: the app role could not.
    with connection.cursor() as cursor:
        cursor.execute("SELECT audit_apply_cut(%s)", [cut.id])
    record(
        principal=SYSTEM,
        action="audit.chain.cut",
        target=ObjectRef.of(cut),
        tenant_id=tenant_id,
        details={"through": through, "removed": cut.removed, "last_hash": cut.last_hash},
    )
    return cut


def _locked_tenant(tenant_id: UUID) -> Tenant:
    tenant = Tenant.objects.select_for_update(no_key=True).filter(pk=tenant_id).first()
    if tenant is None:
        raise NotFound(_("There is no such tenant."))
    return tenant


def _reason(text: str) -> str:
    if not text.strip():
        raise InvalidInput(_("Give a reason; it is kept with the change."))
    return text.strip()
