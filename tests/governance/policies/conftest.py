"""Two administrators of a bank."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from psycopg import Connection

    from governance.principals import Principal
    from governance.tenants.models import Tenant
    from tests.services import TestServices


@pytest.fixture
def author(org: Tenant, principal_for: Callable[..., Principal]) -> Principal:
    from governance.principals import Role

    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def second(org: Tenant, principal_for: Callable[..., Principal]) -> Principal:
    from governance.principals import Role

    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def superuser(services: TestServices) -> Callable[..., Connection[Any]]:
    """Opens a connection as the database's superuser, whom nothing of the product binds."""
    import psycopg

    from tests.services import DATABASE

    dsn = services.postgres.superuser_dsn.replace("/postgres?", f"/{DATABASE}?")
    return lambda: psycopg.connect(dsn, autocommit=True)
