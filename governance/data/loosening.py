"""Loosening what holds data back, by two people: label, subjects, region, purpose, retention."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import record
from governance.data.flow import keeps_longer, locked_asset, set_limits
from governance.data.labels import Limits, checked
from governance.data.models import Declassification
from governance.data.states import DECLASSIFICATION_STATES
from governance.errors import Conflict, InvalidInput, NotFound
from governance.principals import Principal
from governance.refs import ObjectRef

Wish = Declassification.State
MAX_DAYS = 99_999


@transaction.atomic
def request_declassification(
    *,
    principal: Principal,
    asset_id: UUID,
    reason: str,
    label: str | None = None,
    subjects: Iterable[str] | None = None,
    region: str | None = None,
    purpose: str | None = None,
    retention_days: int | None = None,
) -> Declassification:
    """Ask that what holds an asset back be loosened: its label, subjects, region, purpose, or days of retention.

    What is None stays; 0 days are kept without an end. Nothing changes until somebody else has approved it.
    """
    asset = locked_asset(asset_id)
    require(principal, "data.asset.request_declassification", asset)
    label, about = checked(
        asset.label if label is None else label, asset.subjects if subjects is None else subjects
    )
    wanted = Limits(
        label,
        tuple(about),
        asset.region if region is None else region.strip(),
        asset.purpose if purpose is None else purpose.strip(),
    )
    days = asset.retention_days if retention_days is None else retention_days or None
    if len(wanted.region) > 60 or len(wanted.purpose) > 100 or (days or 0) > MAX_DAYS:
        raise InvalidInput(
            _("A region has at most 60 characters, a purpose 100, and a retention 99,999 days.")
        )
    if principal.accountable_user_id is None:
        raise InvalidInput(_("Only a person can ask for this."))
    if not reason.strip():
        raise InvalidInput(_("Give a reason; the person who decides reads it."))
    if not wanted.weaker_than(asset.limits) and not keeps_longer(asset, days):
        raise InvalidInput(
            _("This would not loosen anything."),
            hint=_("To make something more restricted, nobody else needs to be asked."),
        )
    if Declassification.objects.filter(asset=asset, state=Wish.REQUESTED).exists():
        raise Conflict(
            _("There is a request for “%(name)s” already; decide it first.") % {"name": asset.name}
        )
    wish = Declassification.objects.create(
        tenant_id=asset.tenant_id,
        asset=asset,
        from_label=asset.label,
        from_subjects=asset.subjects,
        to_label=label,
        to_subjects=about,
        from_region=asset.region,
        to_region=wanted.region,
        from_purpose=asset.purpose,
        to_purpose=wanted.purpose,
        from_retention_days=asset.retention_days,
        to_retention_days=days,
        reason=reason.strip(),
        requested_by_id=principal.accountable_user_id,
    )
    record(
        principal=principal,
        action="data.asset.request_declassification",
        target=ObjectRef.of(asset, digest=asset.digest),
        tenant_id=asset.tenant_id,
        reason=wish.reason,
        details={"to": wanted.as_details() | {"retention_days": days}, "request": str(wish.id)},
    )
    return wish


@transaction.atomic
def decide_declassification(
    *, principal: Principal, request_id: UUID, approve: bool, reason: str
) -> Declassification:
    """Loosen it as asked, or refuse to. Never by the person who asked, and only while the asset is as it was then."""
    rows = Declassification.objects.select_for_update(of=("self",))
    wish = rows.filter(pk=request_id).first()
    if wish is None:
        raise NotFound(_("There is no such request."))
    asset = locked_asset(wish.asset_id)
    require(principal, "data.asset.declassify", asset, context={"requested_by": str(wish.requested_by_id)})
    if principal.accountable_user_id is None or principal.accountable_user_id == wish.requested_by_id:
        raise Conflict(_("You asked for this yourself, so somebody else must decide."), code="own-request")
    if not reason.strip():
        raise InvalidInput(_("Give a reason; it is kept with the decision."))
    target = Wish.APPROVED if approve else Wish.REFUSED
    DECLASSIFICATION_STATES.check(wish.state, target, principal.roles)
    if approve and (asset.limits, asset.retention_days) != (wish.present, wish.from_retention_days):
        raise Conflict(
            _("What holds “%(name)s” back has changed since this was asked for.") % {"name": asset.name},
            hint=_("Refuse the request; a new one can be made."),
        )
    wish.state = target
    wish.decided_by_id = principal.accountable_user_id
    wish.decided_at = timezone.now()
    wish.decision_reason = reason.strip()
    wish.save(update_fields=["state", "decided_by", "decided_at", "decision_reason"])
    if approve:
        if asset.retention_days != wish.to_retention_days:
            asset.retention_days = wish.to_retention_days
            asset.save(update_fields=["retention_days"])
        set_limits(
            asset,
            wish.wanted,
            principal=principal,
            action="data.asset.declassify",
            reason=wish.decision_reason,
        )
    else:
        record(
            principal=principal,
            action="data.asset.keep_label",
            target=ObjectRef.of(asset, digest=asset.digest),
            tenant_id=asset.tenant_id,
            reason=wish.decision_reason,
            details={"request": str(wish.id)},
        )
    return wish
