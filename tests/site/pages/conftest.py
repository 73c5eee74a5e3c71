"""Signed-in browsers without a browser: Django's test client per role."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from django.test import Client

if TYPE_CHECKING:
    from governance.principals import Principal, Role
    from governance.tenants.models import Tenant, User


@dataclass
class Person:
    """A member of a tenant with a signed-in client."""

    client: Client
    user: User
    principal: Principal


@pytest.fixture
def sign_in(db: None, member: Callable[..., User], valkey: None) -> Callable[..., Person]:
    """`sign_in(org, Role.TENANT_ADMIN)`: a fresh person with that role, signed in."""
    from governance.access.principals import principal_for_user
    from tests.factories.governance import proven

    def build(tenant: Tenant, *roles: Role, client: Client | None = None) -> Person:
        user = member(tenant, *roles)
        browser = client or Client()
        browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return Person(browser, user, principal_for_user(user, tenant_id=tenant.id, signals=proven()))

    return build
