"""Letting in whom a company's provider vouches for: an account per subject, roles by group, every time anew."""

from __future__ import annotations

import re

from allauth.socialaccount.models import SocialAccount
from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.leaving import LAST_ADMINISTRATOR
from governance.access.services import add_membership, remove_membership
from governance.audit.services import record
from governance.errors import Conflict, DomainError
from governance.identity.id_tokens import Claims
from governance.identity.models import GroupMapping, IdentityProvider, ProvidedRole
from governance.identity.selectors import belongs_only_to
from governance.identity.services import sessions
from governance.principals import SYSTEM, Principal, Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, User


class NotLetIn(DomainError):
    """The provider vouched for the person, but there is nothing here for them, or not through this door."""

    status = 403
    code = "not-let-in"


@transaction.atomic
def admit(*, provider: IdentityProvider, claims: Claims) -> User:
    """The account of the person whom `provider` vouches for, with the roles that its groups give today.

    An account is known by provider and subject only, never by name or e-mail, so no provider can speak for somebody
    else's account. Raises NotLetIn when no group gives a role, or when the account has roles elsewhere.
    """
    with platform_scope():
        # One at a time per provider, so that two first sign-ins of one person make one account.
        IdentityProvider.objects.select_for_update(of=("self",)).get(pk=provider.pk)
        wanted = _roles(provider, claims)
        known = SocialAccount.objects.filter(provider=str(provider.pk), uid=claims.subject)
        link = known.select_related("user").first()
        if link is None:
            if not wanted:
                raise _no_group()
            link = SocialAccount.objects.create(
                provider=str(provider.pk),
                uid=claims.subject,
                user=_new_person(provider, claims),
                extra_data={"issuer": claims.issuer},
            )
        user = link.user
        if user.is_service_account or not user.is_active:
            raise NotLetIn(_("This account is disabled."), code="disabled")
        kept = _set_roles(provider, user, wanted)
        held = Membership.in_force.filter(user=user, tenant_id=provider.tenant_id)
        if not held.exclude(role__in=kept).exists():
            raise _no_group()
        if not belongs_only_to(user, provider.tenant_id):
            raise NotLetIn(
                _("This account has roles outside your company, so your company's sign-in cannot open it."),
                code="roles-elsewhere",
                hint=_("Sign in with a password or a passkey."),
            )
    return user


def refuse(*, provider: IdentityProvider, claims: Claims, error: NotLetIn) -> None:
    """Keep that somebody was not let in; with no group left, roles that the provider gave and sessions end, too."""
    with platform_scope(), transaction.atomic():
        link = SocialAccount.objects.filter(provider=str(provider.pk), uid=claims.subject).first()
        if link is not None and error.code == "no-group":
            _set_roles(provider, link.user, frozenset())
            sessions.end_everywhere(principal=SYSTEM, user_id=link.user_id, reason="no group gives a role")
        record(
            principal=_vouched(claims),
            action="identity.sign-in.federated",
            target=ObjectRef.of(provider),
            tenant_id=provider.tenant_id,
            decision="deny",
            reason=error.code,
            details={"subject": claims.subject},
        )


def refuse_token(*, provider: IdentityProvider, why: str) -> None:
    """Keep that a provider's answer was not believed."""
    with platform_scope(), transaction.atomic():
        record(
            principal=Principal(kind="anonymous", id="", label="somebody"),
            action="identity.sign-in.federated",
            target=ObjectRef.of(provider),
            tenant_id=provider.tenant_id,
            decision="deny",
            reason=why,
        )


def _no_group() -> NotLetIn:
    return NotLetIn(
        _("None of your groups has a role here."),
        code="no-group",
        hint=_("Ask the people who manage your company's accounts to put you into the right group."),
    )


def _roles(provider: IdentityProvider, claims: Claims) -> frozenset[Role]:
    rows = GroupMapping.objects.filter(provider=provider, value__in=claims.groups)
    return frozenset(Role(role) for role in rows.values_list("role", flat=True))


def _set_roles(provider: IdentityProvider, user: User, wanted: frozenset[Role]) -> frozenset[Role]:
    """Give and take so that the provider's part of the person's roles is exactly `wanted`.

    Returns what had to stay all the same: the role of the last administrator, which opens nothing by this door alone.
    """
    given = {Role(row.role): row for row in ProvidedRole.objects.filter(provider=provider, user=user)}
    tenant_id = provider.tenant_id
    kept: set[Role] = set()
    for role in wanted - set(given):
        # A role that an administrator gave for good stays the administrator's; an elevated one becomes the provider's.
        mine = Membership.objects.filter(user=user, tenant_id=tenant_id, role=role, expires_at=None)
        if not mine.exists():
            add_membership(principal=SYSTEM, user=user, tenant_id=tenant_id, role=role)
            ProvidedRole.objects.create(tenant_id=tenant_id, provider=provider, user=user, role=role)
    for role in set(given) - wanted:
        if _take(provider, user, role):
            given[role].delete()
        else:
            kept.add(role)
    return frozenset(kept)


def _take(provider: IdentityProvider, user: User, role: Role) -> bool:
    """Take a role that the provider gave. False, and recorded: it is the last administrator's, and stays for now."""
    why = f"no longer in a group of {provider.name}"
    rows = Membership.objects.filter(user=user, tenant_id=provider.tenant_id, role=role)
    for membership in rows:
        try:
            remove_membership(principal=SYSTEM, membership_id=membership.pk, reason=why)
        except Conflict as conflict:
            if conflict.code != LAST_ADMINISTRATOR:
                raise
            record(
                principal=SYSTEM,
                action="tenants.membership.remove",
                target=ObjectRef("tenants.user", str(user.pk), label=user.get_username()),
                tenant_id=provider.tenant_id,
                decision="deny",
                reason=f"{why}; {conflict.message}",
                details={"role": role.value, "rules": [LAST_ADMINISTRATOR]},
            )
            return False
    return True


def _new_person(provider: IdentityProvider, claims: Claims) -> User:
    user = User(
        username=_free_username(provider, claims),
        first_name=claims.given_name,
        last_name=claims.family_name,
        email=claims.email if re.fullmatch(r"[^@\s]+@[^@\s]+", claims.email) else "",
    )
    user.set_unusable_password()
    user.save()
    record(
        principal=SYSTEM,
        action="tenants.user.create",
        target=ObjectRef("tenants.user", str(user.pk), label=user.get_username()),
        tenant_id=provider.tenant_id,
        details={"provider": str(provider.pk), "subject": claims.subject},
    )
    return user


def _free_username(provider: IdentityProvider, claims: Claims) -> str:
    """`name@tenant`, so that it tells nothing of other tenants' names; numbered where taken."""
    name = re.sub(r"[^\w.+-]", "", claims.username.partition("@")[0])[:60] or "person"
    base = f"{name}@{provider.tenant.slug}"
    candidate, number = base, 1
    while User.objects.filter(username=candidate).exists():
        number += 1
        candidate = f"{name}-{number}@{provider.tenant.slug}"
    return candidate


def _vouched(claims: Claims) -> Principal:
    return Principal(kind="anonymous", id="", label=f"{claims.username or claims.subject} (not let in)"[:200])
