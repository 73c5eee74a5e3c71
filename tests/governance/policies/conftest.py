"""Two administrators of a bank."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from governance.principals import Principal
    from governance.tenants.models import Tenant


@pytest.fixture
def author(org: Tenant, principal_for: Callable[..., Principal]) -> Principal:
    from governance.principals import Role

    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def second(org: Tenant, principal_for: Callable[..., Principal]) -> Principal:
    from governance.principals import Role

    return principal_for(org, Role.TENANT_ADMIN)
