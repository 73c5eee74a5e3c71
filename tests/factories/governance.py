"""Tenants, people and OAuth 2.0 clients for tests."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from governance.access import services
from governance.access.hub import EVERYTHING, hub
from governance.access.models import Application
from governance.audit.services import platform_tenant_id
from governance.ids import uuid7
from governance.principals import SYSTEM, Factor, Role, Signals
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, Tenant, User

PASSWORD = "correct horse battery staple"
# The same in every test: the browser tests' site is one process for all of them, and remembers its platform's tenant.
PLATFORM_ID = UUID("01970000-0000-7000-8000-000000000001")


def proven() -> Signals:
    """The signals of somebody who has just used a passkey."""
    return Signals(factor=Factor.PASSKEY, factor_at=time.time())


def make_tenant(slug: str, *, kind: str) -> Tenant:
    """A tenant, made once per slug within a test."""
    defaults: dict[str, object] = {"name": slug.title()}
    if kind == Tenant.Kind.PLATFORM:
        defaults["id"] = PLATFORM_ID
    with platform_scope(), transaction.atomic():
        tenant, created = Tenant.objects.get_or_create(slug=slug, kind=kind, defaults=defaults)
    if kind == Tenant.Kind.PLATFORM:
        platform_tenant_id.cache_clear()
        if (
            created
        ):  # with the id that it had in an earlier test, of which this process may remember something
            hub.dispatch(EVERYTHING, "")
    return tenant


def make_member(tenant: Tenant, *roles: Role, username: str = "") -> User:
    """A person with these roles in the tenant, who can sign in with PASSWORD."""
    with platform_scope(), transaction.atomic():
        name = username or f"{'-'.join(roles)}-{secrets.token_hex(3)}"
        user = User.objects.create_user(username=name, password=PASSWORD)
        for role in roles:
            Membership.objects.create(user=user, tenant=tenant, role=role)
    return user


def make_application(
    tenant: Tenant, *, scopes: Iterable[str], role: Role = Role.SERVICE, owner: User | None = None
) -> tuple[Application, str]:
    """An OAuth 2.0 client and its secret."""
    from dataclasses import replace

    principal = replace(SYSTEM, accountable_user_id=owner.id if owner else None)
    with platform_scope():
        made = services.create_application(
            principal=principal,
            name=f"client {uuid7().hex[-6:]}",
            scopes=scopes,
            role=role,
            tenant_id=tenant.id,
        )
    return made.application, made.client_secret


def bearer_token(application: Application, secret: str, scopes: str = "") -> str:
    """An access token from the real token endpoint."""
    from django.test import Client

    body = {"grant_type": "client_credentials", "client_id": application.client_id, "client_secret": secret}
    response = Client().post("/o/token/", body | ({"scope": scopes} if scopes else {}))
    assert response.status_code == 200, response.content
    return str(response.json()["access_token"])
