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
    """A state folder of its own; downloads read the repository there, since no web server runs."""
    settings.OPENCLAW_VAR = tmp_path / "var"
    settings.REPOSITORY_ON_DISK = True
    return settings.OPENCLAW_VAR
