"""Reading sessions, rules of sign-in, second factors and identity providers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from allauth.mfa import app_settings as mfa_settings
from allauth.mfa.models import Authenticator
from django.db import transaction
from django.db.models import QuerySet

from governance.access.assurance import LEVELS
from governance.access.principals import memberships_of
from governance.identity.models import (
    DEFAULT_IDLE_MINUTES,
    DEFAULT_SESSION_HOURS,
    IdentityPolicy,
    IdentityProvider,
    UserSession,
)
from governance.principals import Factor, Role
from governance.tenants.context import platform_scope
from governance.tenants.labels import role_label
from governance.tenants.models import Membership, User

Kind = Authenticator.Type
FACTOR_OF_KIND = {
    Kind.TOTP: Factor.OTP,
    Kind.RECOVERY_CODES: Factor.OTP,
    Kind.WEBAUTHN: Factor.PASSKEY,
}
SECOND_FACTOR_LEVEL = 2


@dataclass(frozen=True, slots=True)
class Rules:
    """What a person's sign-ins must keep to: of all tenants that the person belongs to, the strictest word counts."""

    session_s: int = DEFAULT_SESSION_HOURS * 3600
    idle_s: int = DEFAULT_IDLE_MINUTES * 60
    second_factor: bool = False

    @property
    def session_hours(self) -> int:
        """As a page tells it."""
        return self.session_s // 3600

    @property
    def idle_minutes(self) -> int:
        """As a page tells it."""
        return self.idle_s // 60

    def satisfied_by(self, factor: Factor) -> bool:
        """Whether a session that began with this factor may be used for anything but setting up a second one."""
        return not self.second_factor or LEVELS[factor] >= SECOND_FACTOR_LEVEL


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """One of a person's second factors, as a page shows it."""

    id: int
    kind: str
    name: str
    created_at: datetime
    last_used_at: datetime | None
    left: int = 0


def rules_for(user: User) -> Rules:
    """The rules for a person. Two queries."""
    memberships = memberships_of(user)
    roles = {(m.tenant_id, m.role) for m in memberships}
    with platform_scope(), transaction.atomic():
        policies = list(IdentityPolicy.objects.filter(tenant_id__in={tenant for tenant, _role in roles}))
    if not policies:
        return Rules()
    return Rules(
        session_s=min(policy.session_hours for policy in policies) * 3600,
        idle_s=min(policy.idle_minutes for policy in policies) * 60,
        second_factor=any(
            (policy.tenant_id, role) in roles for policy in policies for role in policy.second_factor_roles
        ),
    )


def policy_of(tenant_id: UUID) -> IdentityPolicy:
    """A tenant's rules; the defaults, unsaved, where it has none of its own."""
    return IdentityPolicy.objects.filter(tenant_id=tenant_id).first() or IdentityPolicy(tenant_id=tenant_id)


def second_factors(user: User) -> list[SecondFactor]:
    """The person's second factors, the oldest first; never what proves them. One query."""
    rows = Authenticator.objects.filter(user=user).order_by("created_at", "id")
    return [
        SecondFactor(
            id=row.pk,
            kind=row.type,
            name=str(row.data.get("name", "")) if row.type == Kind.WEBAUTHN else "",
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            left=_codes_left(row) if row.type == Kind.RECOVERY_CODES else 0,
        )
        for row in rows
    ]


def factors_of(user: User) -> frozenset[Factor]:
    """The factors that the person could prove now. One query."""
    kinds = set(Authenticator.objects.filter(user=user).values_list("type", flat=True))
    found = {FACTOR_OF_KIND[Kind(kind)] for kind in kinds}
    return frozenset(found | ({Factor.PASSWORD} if user.has_usable_password() else set()))


def own_sessions(user: User) -> list[UserSession]:
    """The person's open sessions in every tenant, the latest first."""
    with platform_scope(), transaction.atomic():
        return list(UserSession.open.filter(user=user).select_related("tenant").order_by("-last_seen_at"))


def sessions(tenant_id: UUID) -> QuerySet[UserSession]:
    """Open sessions that work in a tenant at the moment."""
    return (
        UserSession.open.filter(tenant_id=tenant_id, user__is_service_account=False)
        .select_related("user")
        .order_by("-last_seen_at")
    )


def providers(tenant_id: UUID) -> QuerySet[IdentityProvider]:
    """A tenant's identity providers with their groups."""
    return IdentityProvider.objects.filter(tenant_id=tenant_id).prefetch_related("mappings")


def sign_in_providers(tenant_slug: str) -> list[IdentityProvider]:
    """What the sign-in page of a company offers; nothing for a name that is not known."""
    with platform_scope(), transaction.atomic():
        return list(
            IdentityProvider.objects.filter(
                tenant__slug=tenant_slug, tenant__suspended_at=None, enabled=True
            ).order_by("name")
        )


def sign_in_provider(provider_id: UUID) -> IdentityProvider | None:
    """A provider that people can sign in with now."""
    with platform_scope(), transaction.atomic():
        return (
            IdentityProvider.objects.filter(pk=provider_id, enabled=True, tenant__suspended_at=None)
            .select_related("tenant")
            .first()
        )


def belongs_only_to(user: User, tenant_id: UUID) -> bool:
    """Whether the account has roles in this tenant and in no other, suspended ones included."""
    with platform_scope(), transaction.atomic():
        tenants = set(Membership.objects.filter(user=user).values_list("tenant_id", flat=True))
    return tenants == {tenant_id}


def _codes_left(row: Authenticator) -> int:
    used = int(row.data.get("used_mask", 0))
    return max(0, int(mfa_settings.RECOVERY_CODE_COUNT) - used.bit_count())


@dataclass(frozen=True, slots=True)
class PersonRow:
    """Somebody of a tenant, as its administrators see how they sign in."""

    user: User
    roles: tuple[str, ...]
    kinds: tuple[str, ...]
    passkeys: int
    sessions: int

    @property
    def role_names(self) -> str:
        """The roles as people read them."""
        return ", ".join(role_label(Role(role)) for role in self.roles)

    @property
    def second_factor(self) -> bool:
        """Whether the person has one."""
        return bool(self.kinds)


def people(tenant_id: UUID) -> list[PersonRow]:
    """A tenant's people with their kinds of second factors and their open sessions here. Three queries."""
    roles: dict[User, list[str]] = {}
    members = Membership.in_force.filter(tenant_id=tenant_id, user__is_service_account=False)
    for membership in members.select_related("user").order_by("user__username", "role"):
        roles.setdefault(membership.user, []).append(membership.role)
    kinds: dict[UUID, list[str]] = {}
    for user_id, kind in Authenticator.objects.filter(user__in=roles).values_list("user_id", "type"):
        kinds.setdefault(user_id, []).append(kind)
    open_here = Counter(UserSession.open.filter(tenant_id=tenant_id).values_list("user_id", flat=True))
    return [
        PersonRow(
            user=user,
            roles=tuple(held),
            kinds=tuple(sorted(set(kinds.get(user.pk, ())) - {Kind.RECOVERY_CODES.value})),
            passkeys=kinds.get(user.pk, []).count(Kind.WEBAUTHN),
            sessions=open_here[user.pk],
        )
        for user, held in roles.items()
    ]
