"""People of the marketplace, and a site that no web server answers for."""

from __future__ import annotations

import pytest

from governance.principals import Role


@pytest.fixture
def partner(principal_for, partner_org):
    """A partner's person."""
    return principal_for(partner_org, Role.PARTNER)


@pytest.fixture
def reviewer(principal_for, platform):
    """A reviewer."""
    return principal_for(platform, Role.REVIEWER)


@pytest.fixture
def second_reviewer(principal_for, platform):
    """Another reviewer."""
    return principal_for(platform, Role.REVIEWER)


@pytest.fixture
def administrator(principal_for, platform):
    """A platform administrator."""
    return principal_for(platform, Role.PLATFORM_ADMIN)


@pytest.fixture
def officer(principal_for, platform):
    """An ethics officer."""
    return principal_for(platform, Role.ETHICS_OFFICER)


@pytest.fixture
def keeper(principal_for, org):
    """A tenant's administrator."""
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def site(settings, tmp_path, django_db_setup):
    """A state folder of its own, and a public address where nothing answers: downloads read the folder then."""
    settings.OPENCLAW_VAR = tmp_path / "var"
    settings.PUBLIC_URL = "http://127.0.0.1:9"
    return settings.OPENCLAW_VAR
