"""An organisation with the base capabilities."""

from __future__ import annotations

import pytest

from governance.principals import Role


@pytest.fixture
def admin(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def added(admin):
    from governance.tenants.context import tenant_context
    from inference.capabilities.services import add_capabilities

    with tenant_context(admin.tenant_id):
        return {version.source_id: version for version in add_capabilities(principal=admin)}
