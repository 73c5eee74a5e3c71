"""Fixtures of identities."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction

if TYPE_CHECKING:
    from governance.audit.models import AuditEntry
    from governance.identity.models import IdentityProvider
    from governance.principals import Role
    from governance.tenants.models import Tenant, User
    from tests.governance.identity.companies import Provider
    from tests.governance.identity.people import Person


@pytest.fixture
def person(platform: Tenant, member: Callable[..., User], valkey: None) -> Callable[..., Person]:
    """`person(org, Role.DEVELOPER)`: signed in by password, unless `signed_in=False`."""

    from django.test import Client

    from tests.governance.identity.people import Person

    def build(tenant: Tenant, *roles: Role, signed_in: bool = True, **headers: str) -> Person:
        made = Person(member(tenant, *roles), Client(headers=headers or None))
        if signed_in:
            assert made.sign_in().status_code == 302
        return made

    return build


@pytest.fixture
def log() -> Callable[..., list[AuditEntry]]:
    """`log("identity.session.begin")`: the entries of an action, the oldest first."""
    from governance.audit.models import AuditEntry
    from governance.tenants.context import platform_scope

    def read(action: str = "", **filters: Any) -> list[AuditEntry]:
        with platform_scope(), transaction.atomic():
            rows = AuditEntry.objects.filter(**filters)
            return list((rows.filter(action=action) if action else rows).order_by("at", "sequence"))

    return read


@pytest.fixture
def everything() -> Callable[[type], list[Any]]:
    """All rows of a model, whoever's they are."""
    from governance.tenants.context import platform_scope

    def read(model: type) -> list[Any]:
        with platform_scope(), transaction.atomic():
            return list(model.objects.all())  # type: ignore[attr-defined]

    return read


@pytest.fixture
def sign_in_principal() -> Callable[..., Any]:
    """The principal of somebody who has just used a passkey."""
    from governance.access.principals import principal_for_user
    from tests.factories.governance import proven

    def build(user: User, tenant: Tenant) -> Any:
        return principal_for_user(user, tenant_id=tenant.id, signals=proven())

    return build


@pytest.fixture(scope="module")
def company() -> Iterator[Provider]:
    from tests.governance.identity.companies import Provider, wait_for  # Django is set up by then

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "oidc_provider_mock",
        f"--port={port}",
        "--host=127.0.0.1",
    ]
    # Not ours: what it prints is of no interest, and it must not see the tests' services.
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        url = f"http://localhost:{port}"
        try:
            wait_for(f"{url}/.well-known/openid-configuration")
            yield Provider(url)
        finally:
            process.terminate()


@pytest.fixture
def add(company: Provider):
    """`add(org, ("staff", Role.DEVELOPER))`: the tenant signs in with the company's provider."""

    from governance.identity.services import providers
    from governance.principals import SYSTEM
    from governance.tenants.context import platform_scope
    from tests.governance.identity.companies import SECRET

    def build(tenant, *mappings, **more) -> IdentityProvider:
        with platform_scope():
            return providers.add_provider(
                principal=SYSTEM,
                tenant_id=tenant.id,
                name=f"{tenant.name} SSO",
                issuer=more.pop("issuer", company.url),
                client_id=more.pop("client_id", "openclaw"),
                client_secret=SECRET,
                mappings=mappings,
                **more,
            )

    return build
