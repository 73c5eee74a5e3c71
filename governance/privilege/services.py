"""Changing rights: elevation for a while, breaking the glass, and what follows from both."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.access.leaving import left
from governance.access.services import ROLES_BY_KIND
from governance.audit.services import record
from governance.errors import AccessDenied, Conflict, InvalidInput, NotFound
from governance.principals import SYSTEM, Principal, Role
from governance.privilege import selectors
from governance.privilege.models import BreakGlassHolder, Elevation, PrivilegeSettings
from governance.privilege.states import ELEVATION_STATES
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, Tenant, User

log = logging.getLogger(__name__)

State = Elevation.State
# So many uses of one person may wait for their review; the next one has to wait for it.
MAX_UNREVIEWED = 3


@transaction.atomic
def save_settings(
    *,
    principal: Principal,
    tenant_id: UUID,
    unused_after_days: int,
    max_elevation_minutes: int,
    break_glass_minutes: int,
) -> PrivilegeSettings:
    """Set a tenant's bounds."""
    require(principal, "privilege.settings.manage", tenant_id=tenant_id)
    row = selectors.settings_of(tenant_id)
    row.unused_after_days = unused_after_days
    row.max_elevation_minutes = max_elevation_minutes
    row.break_glass_minutes = break_glass_minutes
    row.full_clean(validate_unique=False, validate_constraints=False)
    row.save()
    record(
        principal=principal,
        action="privilege.settings.save",
        target=ObjectRef.of(row),
        tenant_id=tenant_id,
        details={
            "unused_after_days": unused_after_days,
            "max_elevation_minutes": max_elevation_minutes,
            "break_glass_minutes": break_glass_minutes,
        },
    )
    return row


@transaction.atomic
def request_elevation(*, principal: Principal, role: Role, reason: str, minutes: int) -> Elevation:
    """Ask for a role in one's own tenant for a while. Another person decides."""
    require(principal, "privilege.elevation.request")
    tenant_id, person_id = _person_in_tenant(principal)
    longest = selectors.settings_of(tenant_id).max_elevation_minutes
    if not 1 <= minutes <= longest:
        raise InvalidInput(
            _("An elevation lasts from 1 to %(longest)d minutes here.") % {"longest": longest},
            hint=_("Ask for less time, or ask an administrator to change the bound."),
        )
    return _begin(
        principal=principal,
        tenant_id=tenant_id,
        person_id=person_id,
        role=role,
        reason=reason,
        minutes=minutes,
    )


@transaction.atomic
def decide_elevation(*, principal: Principal, elevation_id: UUID, approve: bool, reason: str) -> Elevation:
    """Approve (it begins at once) or refuse, with a reason; never one's own."""
    elevation = _locked(elevation_id)
    require(
        principal,
        "privilege.elevation.decide",
        elevation,
        context={"requested_by": str(elevation.person_id)},
    )
    if not reason.strip():
        raise InvalidInput(_("Give a reason; it is kept with the decision."))
    elevation.decided_by_id = principal.accountable_user_id
    elevation.decided_at = timezone.now()
    elevation.decision_reason = reason.strip()
    if approve:
        _give(elevation)
    _move(elevation, State.ACTIVE if approve else State.REFUSED, principal=principal, reason=reason.strip())
    return elevation


@transaction.atomic
def withdraw_elevation(*, principal: Principal, elevation_id: UUID) -> Elevation:
    """Take back a request of one's own."""
    require(principal, "privilege.elevation.request")
    elevation = _locked(elevation_id)
    if elevation.person_id != principal.accountable_user_id:
        raise NotFound(_("There is no such request of yours."))
    _move(elevation, State.WITHDRAWN, principal=principal, reason="")
    return elevation


@transaction.atomic
def end_elevation(*, principal: Principal, elevation_id: UUID, reason: str = "") -> Elevation:
    """End it before its time: the person themselves, or an administrator. Effective within a second."""
    elevation = _locked(elevation_id)
    own = elevation.person_id == principal.accountable_user_id
    require(principal, "privilege.elevation.request" if own else "privilege.elevation.end", elevation)
    _take(elevation)
    _move(elevation, State.ENDED, principal=principal, reason=reason)
    return elevation


def end_due() -> int:
    """End what has run out. Correctness does not hang on it: a role's own end is looked at with every request."""
    with platform_scope(), transaction.atomic():
        due = Elevation.objects.select_for_update(of=("self",), skip_locked=True).filter(
            state=State.ACTIVE, ends_at__lte=timezone.now()
        )
        for elevation in due:
            _take(elevation)
            _move(elevation, State.ENDED, principal=SYSTEM, reason="its time was over")
        return len(due)


@transaction.atomic
def break_glass(*, principal: Principal, role: Role, reason: str) -> Elevation:
    """Take a role at once in an emergency, as somebody who was named for that in advance.

    Needs two fresh factors (a shipped policy). Everybody is told until somebody else has reviewed it. An emergency does
    not wait for a review, so earlier uses that nobody has looked at do not stop it, but are counted in its entry; after
    MAX_UNREVIEWED of them somebody has to look first. Raises Conflict then.
    """
    decision = require(principal, "privilege.glass.break")
    tenant_id, person_id = _person_in_tenant(principal)
    if not BreakGlassHolder.objects.filter(
        tenant_id=tenant_id, person_id=person_id, role=role.value
    ).exists():
        raise AccessDenied(
            _("You are not named for emergency access with the role %(role)s.") % {"role": role.value},
            decision=decision,
            hint=_("An administrator names people in advance, on the page of elevated rights."),
        )
    unreviewed = Elevation.objects.filter(
        tenant_id=tenant_id, person_id=person_id, break_glass=True, reviewed_at=None
    ).count()
    if unreviewed >= MAX_UNREVIEWED:
        raise Conflict(
            _("You have broken the glass %(count)d times and nobody has reviewed it yet.")
            % {"count": unreviewed},
            hint=_("Somebody else must review one of these uses, on the page of elevated rights."),
        )
    elevation = _begin(
        principal=principal,
        tenant_id=tenant_id,
        person_id=person_id,
        role=role,
        reason=reason,
        minutes=selectors.settings_of(tenant_id).break_glass_minutes,
        break_glass=True,
        unreviewed=unreviewed,
    )
    log.warning("the glass was broken: %s took the role %s in tenant %s", person_id, role.value, tenant_id)
    return elevation


@transaction.atomic
def review_break_glass(*, principal: Principal, elevation_id: UUID, review: str) -> Elevation:
    """Say afterwards whether the emergency was one. Never about oneself; the alarm stands until then."""
    elevation = _locked(elevation_id)
    require(
        principal, "privilege.glass.review", elevation, context={"requested_by": str(elevation.person_id)}
    )
    if not elevation.break_glass or elevation.reviewed_at is not None:
        raise Conflict(_("There is nothing to review here."))
    if elevation.state == State.ACTIVE:
        raise Conflict(
            _("The emergency access is still in force."), hint=_("End it first, or wait until it ends.")
        )
    if len(review.strip()) < 10:
        raise InvalidInput(_("Say in at least 10 characters what you found."))
    elevation.reviewed_by_id = principal.accountable_user_id
    elevation.reviewed_at = timezone.now()
    elevation.review = review.strip()
    elevation.save(update_fields=["reviewed_by", "reviewed_at", "review"])
    _record(elevation, "privilege.glass.review", principal=principal, reason=review.strip())
    return elevation


@transaction.atomic
def name_holder(*, principal: Principal, tenant_id: UUID, person_id: UUID, role: Role) -> BreakGlassHolder:
    """Name a member of the tenant for emergency access; naming twice changes nothing."""
    require(principal, "privilege.settings.manage", tenant_id=tenant_id)
    person = User.objects.filter(pk=person_id, memberships__tenant_id=tenant_id).distinct().first()
    if person is None or person.is_service_account:
        raise NotFound(_("There is no such person in this tenant."))
    _check_role(tenant_id, role)
    holder, created = BreakGlassHolder.objects.get_or_create(
        tenant_id=tenant_id,
        person=person,
        role=role.value,
        defaults={"named_by_id": principal.accountable_user_id},
    )
    if created:
        record(
            principal=principal,
            action="privilege.holder.name",
            target=ObjectRef.of(person),
            tenant_id=tenant_id,
            details={"role": role.value},
        )
    return holder


@transaction.atomic
def remove_holder(*, principal: Principal, holder_id: UUID) -> None:
    """Nobody breaks the glass under this name any more."""
    holder = BreakGlassHolder.objects.select_for_update(of=("self",)).filter(pk=holder_id).first()
    if holder is None:
        raise NotFound(_("There is no such holder."))
    require(principal, "privilege.settings.manage", holder)
    record(
        principal=principal,
        action="privilege.holder.remove",
        target=ObjectRef.of(holder.person),
        tenant_id=holder.tenant_id,
        details={"role": holder.role},
    )
    holder.delete()


def forget_who_left(principal: Principal, user: User, tenant_id: UUID) -> None:
    """Who has no role in a tenant any more is no holder there, and what they asked for is not approved any more."""
    for holder in BreakGlassHolder.objects.select_for_update(of=("self",)).filter(
        tenant_id=tenant_id, person=user
    ):
        record(
            principal=principal,
            action="privilege.holder.remove",
            target=ObjectRef.of(user),
            tenant_id=tenant_id,
            reason="left the organisation",
            details={"role": holder.role},
        )
        holder.delete()
    waiting = Elevation.objects.select_for_update(of=("self",)).filter(
        tenant_id=tenant_id, person=user, state=State.REQUESTED
    )
    for elevation in waiting:
        _move(elevation, State.WITHDRAWN, principal=principal, reason="left the organisation")


def _person_in_tenant(principal: Principal) -> tuple[UUID, UUID]:
    if principal.kind != "user" or principal.tenant_id is None or principal.accountable_user_id is None:
        raise InvalidInput(_("Only a person in a tenant can have more rights for a while."))
    return principal.tenant_id, principal.accountable_user_id


def _check_role(tenant_id: UUID, role: Role) -> None:
    tenant = Tenant.objects.get(pk=tenant_id)
    known = ROLES_BY_KIND[Tenant.Kind(tenant.kind)] - {Role.SERVICE}
    if role not in known:
        raise InvalidInput(
            _("The role %(role)s does not exist in a tenant of this kind.") % {"role": role.value},
            hint=_("Roles here: %(roles)s.") % {"roles": ", ".join(sorted(known))},
        )


def _begin(
    *,
    principal: Principal,
    tenant_id: UUID,
    person_id: UUID,
    role: Role,
    reason: str,
    minutes: int,
    break_glass: bool = False,
    unreviewed: int = 0,
) -> Elevation:
    _check_role(tenant_id, role)
    if len(reason.strip()) < 10:
        raise InvalidInput(_("Say in at least 10 characters what you need it for."))
    # One request after the other: two at once would both find nothing open.
    User.objects.select_for_update(of=("self",)).get(pk=person_id)
    if Membership.in_force.filter(tenant_id=tenant_id, user_id=person_id, role=role.value).exists():
        raise Conflict(_("You have this role already."))
    waiting = Elevation.objects.select_for_update(of=("self",)).filter(
        tenant_id=tenant_id, person_id=person_id, role=role.value, state__in=[State.REQUESTED, State.ACTIVE]
    )
    for other in waiting:
        if not break_glass and other.state == State.REQUESTED:
            raise Conflict(_("You have asked for this role already; it waits for approval."))
        # Run out but not yet tidied away, or overtaken by an emergency.
        if other.state == State.ACTIVE:
            _take(other)
        _move(
            other,
            State.ENDED if other.state == State.ACTIVE else State.WITHDRAWN,
            principal=principal,
            reason="",
        )
    elevation = Elevation(
        tenant_id=tenant_id,
        person_id=person_id,
        role=role.value,
        reason=reason.strip(),
        minutes=minutes,
        break_glass=break_glass,
        state=State.ACTIVE if break_glass else State.REQUESTED,
    )
    if break_glass:
        _give(elevation)
    elevation.save(force_insert=True)
    _record(
        elevation,
        "privilege.glass.break" if break_glass else "privilege.elevation.request",
        principal=principal,
        reason=elevation.reason,
        unreviewed=unreviewed,
    )
    return elevation


def _give(elevation: Elevation) -> None:
    elevation.starts_at = timezone.now()
    elevation.ends_at = elevation.starts_at + timedelta(minutes=elevation.minutes)
    key: dict[str, Any] = {
        "tenant_id": elevation.tenant_id,
        "user_id": elevation.person_id,
        "role": elevation.role,
    }
    if Membership.objects.filter(**key, expires_at=None).exists():
        raise Conflict(_("The person has this role already."))
    Membership.objects.update_or_create(**key, defaults={"expires_at": elevation.ends_at})


def _take(elevation: Elevation) -> None:
    # A role that was given for good meanwhile stays.
    gone, _kinds = Membership.objects.filter(
        tenant_id=elevation.tenant_id,
        user_id=elevation.person_id,
        role=elevation.role,
        expires_at__isnull=False,
    ).delete()
    if gone:
        left(principal=SYSTEM, user=elevation.person, tenant_id=elevation.tenant_id)


def _locked(elevation_id: UUID) -> Elevation:
    elevation = Elevation.objects.select_for_update(of=("self",)).filter(pk=elevation_id).first()
    if elevation is None:
        raise NotFound(_("There is no such elevation."))
    return elevation


def _move(elevation: Elevation, target: str, *, principal: Principal, reason: str) -> None:
    ELEVATION_STATES.check(elevation.state, target, principal.roles)
    elevation.state = target
    elevation.save()
    _record(elevation, f"privilege.elevation.{target}", principal=principal, reason=reason)


def _record(
    elevation: Elevation, action: str, *, principal: Principal, reason: str, unreviewed: int = 0
) -> None:
    record(
        principal=principal,
        action=action,
        target=ObjectRef.of(elevation),
        tenant_id=elevation.tenant_id,
        reason=reason,
        details={
            "role": elevation.role,
            "minutes": elevation.minutes,
            "person": str(elevation.person_id),
            "break_glass": elevation.break_glass,
        }
        | ({"unreviewed_before": unreviewed} if unreviewed else {}),
    )
