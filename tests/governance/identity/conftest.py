"""Fixtures of identities."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction

if TYPE_CHECKING:
    from governance.audit.models import AuditEntry
    from governance.principals import Role
    from governance.tenants.models import Tenant, User
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
