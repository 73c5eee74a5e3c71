"""From a session or a bearer token to a `Principal`."""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from oauth2_provider.models import get_access_token_model

from governance.access.models import Application
from governance.principals import ANONYMOUS, PLATFORM_ROLES, Principal, Role, Signals
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, Tenant, User

UNPROVEN = Signals()

__all__ = ["memberships_of", "principal_for_bearer", "principal_for_user"]


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
    return _principal(
        user,
        tenant_id=chosen,
        roles=frozenset(Role(m.role) for m in memberships if m.tenant_id == chosen),
        kind="user",
        principal_id=str(user.id),
        label=user.get_username(),
        signals=signals,
    )


def principal_for_bearer(token: str) -> tuple[Principal, datetime] | None:
    """The principal of an OAuth 2.0 access token and when it ends; None when the token is not (or no longer) good."""
    checksum = hashlib.sha256(token.encode()).hexdigest()
    with platform_scope(), transaction.atomic():
        row = (
            get_access_token_model()
            .objects.filter(token_checksum=checksum, expires__gt=timezone.now())
            .select_related("application__tenant", "application__service_user", "user")
            .first()
        )
        if row is None or row.application is None or not row.application.is_usable(None):
            return None
        application: Application = row.application
        # A token of the client-credentials grant has no user: the service account acts.
        user: User = row.user or application.service_user
        if not user.is_active:
            return None
        # A token outlives the hour that an elevation is for, so it never carries an elevated role.
        lasting = Membership.objects.filter(user=user, tenant_id=application.tenant_id, expires_at=None)
        roles = frozenset(Role(role) for role in lasting.values_list("role", flat=True))
    if not roles:
        return None
    principal = _principal(
        user,
        tenant_id=application.tenant_id,
        roles=roles,
        kind="client" if row.user is None else "user",
        principal_id=str(application.id) if row.user is None else str(user.id),
        label=application.name if row.user is None else user.get_username(),
        scopes=frozenset(row.scope.split()),
        accountable=application.user_id if row.user is None else user.id,
    )
    return principal, row.expires


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
    )
