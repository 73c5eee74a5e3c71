"""People and shortcuts of the tests of ethics."""

from __future__ import annotations

import pytest

from governance.principals import Role


@pytest.fixture
def partner(principal_for, partner_org):
    return principal_for(partner_org, Role.PARTNER)


@pytest.fixture
def officer(principal_for, platform):
    return principal_for(platform, Role.ETHICS_OFFICER)


@pytest.fixture
def admin(principal_for, org):
    return principal_for(org, Role.TENANT_ADMIN)
