"""From a session or a bearer token to a `Principal`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from oauth2_provider.models import get_access_token_model
from oauth2_provider.oauth2_validators import validate_resource_as_url_prefix

from governance.access.models import Application, TokenBinding
from governance.access.posture import posture_of
from governance.access.rates import program, tokens_of
from governance.access.signals import token_signals
from governance.principals import ANONYMOUS, PLATFORM_ROLES, Factor, Principal, Role, Signals
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, Tenant, User

UNPROVEN = Signals()

__all__ = [
    "VerifiedToken",
    "is_our_audience",
    "memberships_of",
    "principal_for_bearer",
    "principal_for_user",
    "token_owner",
    "verified_token",
]


def memberships_of(user: User) -> list[Membership]:
    """The person's memberships in tenants that are not suspended, the platform's first, then by name."""
    with platform_scope(), transaction.atomic():
        rows = Membership.in_force.filter(user=user, tenant__suspended_at=None).select_related("tenant")
        return sorted(rows, key=lambda m: (m.tenant.kind != Tenant.Kind.PLATFORM, m.tenant.name))


def principal_for_user(
    user: User, *, tenant_id: UUID | None = None, signals: Signals = UNPROVEN
) -> Principal:
    """The person in the tenant that was chosen, or in the first one; anonymous when there is none left."""
    if not user.is_active:
        return ANONYMOUS
    memberships = memberships_of(user)
    if not memberships:
        return ANONYMOUS
    chosen = next((m.tenant_id for m in memberships if m.tenant_id == tenant_id), memberships[0].tenant_id)
    held = [m for m in memberships if m.tenant_id == chosen]
    return _principal(
        user,
        tenant_id=chosen,
        roles=frozenset(Role(m.role) for m in held),
        until=min((m.expires_at.timestamp() for m in held if m.expires_at is not None), default=float("inf")),
        kind="user",
        principal_id=str(user.id),
        label=user.get_username(),
        signals=signals,
    )


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """An access token that is good. With a `jkt` it may only be used with proofs by that key (RFC 9449)."""

    principal: Principal
    expires: datetime
    jkt: str = ""


def principal_for_bearer(token: str) -> tuple[Principal, datetime] | None:
    """The principal of an OAuth 2.0 bearer token and when it ends.

    None when the token is not (or no longer) good, or is bound to a key and so no bearer token.
    """
    found = verified_token(token)
    return None if found is None or found.jkt else (found.principal, found.expires)


def verified_token(token: str) -> VerifiedToken | None:
    """The access token behind this text; None when it is unknown, expired, revoked or meant for another audience.

    Whether its key was proven is for the caller to find out, who knows the request.
    """
    if not token:
        return None
    checksum = hashlib.sha256(token.encode()).hexdigest()
    with platform_scope(), transaction.atomic():
        row = (
            get_access_token_model()
            .objects.filter(token_checksum=checksum, expires__gt=timezone.now())
            .select_related("application__tenant", "application__service_user", "user", "binding")
            .first()
        )
        if row is None or row.application is None or not row.application.is_usable(None):
            return None
        application: Application = row.application
        # A token of the client-credentials grant has no user: the service account acts.
        user: User = row.user or application.service_user
        if not user.is_active or not is_our_audience(row.resource):
            return None
        # A token outlives the hour that an elevation is for, so it never carries an elevated role.
        lasting = Membership.objects.filter(user=user, tenant_id=application.tenant_id, expires_at=None)
        roles = frozenset(Role(role) for role in lasting.values_list("role", flat=True))
        if not roles:
            return None
        signals, jkt = _token_signals(row, user)
    principal = token_owner(
        application, row.user, roles=roles, scopes=frozenset(row.scope.split()), signals=signals
    )
    return VerifiedToken(principal, row.expires, jkt)


def token_owner(
    application: Application,
    person: User | None,
    *,
    roles: frozenset[Role] = frozenset(),
    scopes: frozenset[str] = frozenset(),
    signals: Signals = UNPROVEN,
) -> Principal:
    """Who acts with a token of an application: the person who granted it, else the application itself."""
    return _principal(
        person or application.service_user,
        tenant_id=application.tenant_id,
        roles=roles,
        kind="client" if person is None else "user",
        principal_id=str(application.id if person is None else person.id),
        label=application.name if person is None else person.get_username(),
        scopes=scopes,
        accountable=application.user_id if person is None else person.id,
        signals=signals,
        application_id=application.id,
    )


def _token_signals(row: Any, user: User) -> tuple[Signals, str]:
    """A program proved a secret when it got the token; a person what its session had proven when it was granted."""
    binding: TokenBinding | None = getattr(row, "binding", None)
    jkt = binding.jkt if binding else ""
    if row.user is None:
        factor, at = Factor.SECRET, row.created.timestamp()
    elif binding is not None and binding.factor_at is not None:
        factor, at = Factor(binding.factor), binding.factor_at.timestamp()
    else:
        factor, at = Factor.NONE, 0.0
    signals = token_signals(
        factor=factor,
        factor_at=at,
        bound=bool(jkt),
        device=posture_of(tenant_id=row.application.tenant_id, user_id=user.id, jkt=jkt),
        username=user.get_username() if row.user else "",
        account=program(row.application_id) if row.user is None else tokens_of(user.id),
    )
    return signals, jkt


def is_our_audience(resources: list[str]) -> bool:
    """RFC 8707: whether a token for these resource servers (any, where none is named) may be used here."""
    return not resources or any(validate_resource_as_url_prefix(settings.PUBLIC_URL, [r]) for r in resources)


def _principal(
    user: User,
    *,
    tenant_id: UUID,
    roles: frozenset[Role],
    kind: str,
    principal_id: str,
    label: str,
    scopes: frozenset[str] | None = None,
    accountable: UUID | None = None,
    signals: Signals = UNPROVEN,
    until: float = float("inf"),
    application_id: UUID | None = None,
) -> Principal:
    return Principal(
        kind=kind,  # type: ignore[arg-type]
        id=principal_id,
        label=label,
        tenant_id=tenant_id,
        roles=roles,
        scopes=scopes,
        user_id=user.id,
        accountable_user_id=accountable or user.id,
        platform=not roles.isdisjoint(PLATFORM_ROLES),
        signals=signals,
        until=until,
        application_id=application_id,
    )
