"""A tenant administrator, and an endpoint whose model adds 1."""

from __future__ import annotations

import pytest

from governance.principals import Role
from tests.factories.inference import make_endpoint, make_version


@pytest.fixture(autouse=True)
def nothing_loaded():
    """What the last test's job left loaded is not this one's."""
    from inference.serving.batch import loading  # Django is not set up yet when this file is read

    loading.unload_all()
    yield
    loading.unload_all()


@pytest.fixture
def admin(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def endpoint(admin):
    return make_endpoint(admin, make_version(admin))
