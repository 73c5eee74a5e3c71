"""Second factors: added, renamed, removed and reset. What proves them is never written to the log."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from allauth.mfa.webauthn.internal.auth import WebAuthn
from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.access.decisions import require
from governance.access.principals import principal_for_user
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.identity.mfa import owned_by
from governance.identity.selectors import belongs_only_to, rules_for
from governance.identity.services import sessions
from governance.principals import PLATFORM_ROLES, Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, User

Kind = Authenticator.Type
MAX_PASSKEYS = 10
MAX_NAME = 60


@transaction.atomic
def add_totp(*, principal: Principal, user: User, secret: str) -> list[str]:
    """Keep an authenticator app whose first code was right. Returns recovery codes if these are the first ones."""
    _may_change(principal, user)
    if Authenticator.objects.filter(user=user, type=Kind.TOTP).exists():
        raise Conflict(
            _("There is an authenticator app already."), hint=_("Remove it first to use another one.")
        )
    with owned_by(user.pk):
        added = TOTP.activate(user, secret).instance
    _note(principal, "add", user, added)
    return _first_codes(principal, user)


@transaction.atomic
def add_passkey(*, principal: Principal, user: User, name: str, credential: dict[str, Any]) -> list[str]:
    """Keep a passkey whose registration was checked. Returns recovery codes if these are the first ones."""
    _may_change(principal, user)
    if Authenticator.objects.filter(user=user, type=Kind.WEBAUTHN).count() >= MAX_PASSKEYS:
        raise Conflict(
            _("More than %(count)d passkeys are not kept.") % {"count": MAX_PASSKEYS},
            hint=_("Remove one that you no longer use."),
        )
    added = WebAuthn.add(user, _name(name), credential).instance
    _note(principal, "add", user, added)
    return _first_codes(principal, user)


@transaction.atomic
def rename_passkey(*, principal: Principal, user: User, factor_id: int, name: str) -> None:
    """Give a passkey another name."""
    _may_change(principal, user)
    row = _own(user, factor_id)
    if row.type != Kind.WEBAUTHN:
        raise InvalidInput(_("Only passkeys have names."))
    row.wrap().name = _name(name)
    row.save(update_fields=["data"])
    _note(principal, "rename", user, row)


@transaction.atomic
def remove(*, principal: Principal, user: User, factor_id: int) -> None:
    """Remove one of one's own second factors; with the last one the recovery codes go too.

    Refused when an organisation of the person demands a second factor and this is the last.
    """
    _may_change(principal, user)
    row = _own(user, factor_id)
    others = Authenticator.objects.filter(user=user).exclude(pk=row.pk).exclude(type=Kind.RECOVERY_CODES)
    last = row.type != Kind.RECOVERY_CODES and not others.exists()
    if last and rules_for(user).second_factor:
        raise Conflict(
            _("Your organisation demands a second factor, and this is your last one."),
            hint=_("Add another one first."),
        )
    _note(principal, "remove", user, row)
    row.delete()
    if last:
        for codes in Authenticator.objects.filter(user=user):
            _note(principal, "remove", user, codes)
            codes.delete()


@transaction.atomic
def new_recovery_codes(*, principal: Principal, user: User) -> list[str]:
    """Make new recovery codes, which this answer alone shows; the old ones no longer work."""
    _may_change(principal, user)
    if not Authenticator.objects.filter(user=user).exclude(type=Kind.RECOVERY_CODES).exists():
        raise Conflict(
            _("Recovery codes stand in for a second factor, and there is none."),
            hint=_("Add an authenticator app or a passkey first."),
        )
    User.objects.select_for_update(of=("self",)).get(pk=user.pk)
    Authenticator.objects.filter(user=user, type=Kind.RECOVERY_CODES).delete()
    return _codes(principal, user)


@transaction.atomic
def reset(*, principal: Principal, user_id: UUID, tenant_id: UUID, reason: str) -> int:
    """Take all second factors of a person away, who lost them, and end every session; returns how many factors.

    A tenant's administrators can do so for accounts that belong to their tenant alone.
    """
    require(principal, "identity.factor.reset", tenant_id=tenant_id)
    if not reason.strip():
        raise InvalidInput(_("Give a reason; it is kept with the change."))
    user = User.objects.select_for_update(of=("self",)).filter(pk=user_id).first()
    if user is None or not Membership.objects.filter(user=user, tenant_id=tenant_id).exists():
        raise NotFound(_("There is no such person in this tenant."))
    if principal.roles.isdisjoint(PLATFORM_ROLES) and not belongs_only_to(user, tenant_id):
        raise Conflict(
            _("Only the platform's administrators can do this for this account."),
            code="not-yours-alone",
        )
    rows = Authenticator.objects.filter(user=user)
    kinds = sorted(rows.values_list("type", flat=True))
    rows.delete()
    with platform_scope():
        record(
            principal=principal,
            action="identity.factor.reset",
            target=_person(user),
            tenant_id=tenant_id,
            reason=reason,
            details={"kinds": kinds},
        )
        ended = sessions.end_everywhere(principal=principal, user_id=user.pk, reason="second factors reset")
        record(
            principal=principal,
            action="identity.session.end-all",
            target=_person(user),
            tenant_id=tenant_id,
            reason=reason,
            details={"sessions": ended},
        )
        announce("user", str(user.pk))
    return len(kinds)


@transaction.atomic
def note_failure(*, user: User, kind: str, again: bool) -> None:
    """Keep that a second factor was not right: the password (or session) before it was."""
    person = principal_for_user(user)
    with platform_scope():
        record(
            principal=person if person.is_authenticated else _anonymous_as(user),
            action="identity.factor.prove",
            target=_person(user),
            tenant_id=person.tenant_id,
            decision="deny",
            reason="the code or key was not right",
            details={"kind": kind, "signed_in": again},
        )


@transaction.atomic
def note_lock(*, username: str) -> None:
    """Keep that signing in as somebody is locked for a while. Names that nobody has are not kept."""
    user = User.objects.filter(username=username).first()
    if user is None:
        return
    person = principal_for_user(user)
    with platform_scope():
        record(
            principal=_anonymous_as(user),
            action="identity.sign-in.lock",
            target=_person(user),
            tenant_id=person.tenant_id,
            decision="deny",
            reason="too many failed attempts",
        )


def _may_change(principal: Principal, user: User) -> None:
    """Raise unless these are the principal's own factors and the identity was proven lately."""
    require(principal, "identity.factor.manage", ObjectRef("tenants.user", str(user.pk)))
    if principal.user_id != user.pk:
        raise NotFound(_("There is no such account."))


def _own(user: User, factor_id: int) -> Authenticator:
    row = Authenticator.objects.select_for_update(of=("self",)).filter(pk=factor_id, user=user).first()
    if row is None:
        raise NotFound(_("There is no such second factor."))
    return row


def _first_codes(principal: Principal, user: User) -> list[str]:
    if Authenticator.objects.filter(user=user, type=Kind.RECOVERY_CODES).exists():
        return []
    return _codes(principal, user)


def _codes(principal: Principal, user: User) -> list[str]:
    with owned_by(user.pk):
        made = RecoveryCodes.activate(user)
        codes = made.get_unused_codes()
    _note(principal, "add", user, made.instance)
    return codes


def _note(principal: Principal, what: str, user: User, row: Authenticator) -> None:
    details = {"kind": str(row.type)}
    if row.type == Kind.WEBAUTHN:
        details["name"] = row.wrap().name
    record(
        principal=principal,
        action=f"identity.factor.{what}",
        target=ObjectRef("mfa.authenticator", str(row.pk), label=user.get_username()),
        details=details,
    )
    announce("user", str(user.pk))


def _name(name: str) -> str:
    return " ".join(name.split())[:MAX_NAME] or _("Passkey")


def _person(user: User) -> ObjectRef:
    return ObjectRef("tenants.user", str(user.pk), label=user.get_username())


def _anonymous_as(user: User) -> Principal:
    return Principal(kind="anonymous", id="", label=f"somebody as {user.get_username()}"[:200])
