"""A tenant's administrator, and the cookie that they signed in with, as a socket brings it."""

from __future__ import annotations

import pytest
from django.test import Client

from governance.principals import Role


@pytest.fixture
def admin(org, member):
    return member(org, Role.TENANT_ADMIN)


@pytest.fixture
def cookie(admin):
    from tests.factories.governance import PASSWORD  # models, which need the settings

    browser = Client()
    answer = browser.post("/accounts/login/", {"username": admin.username, "password": PASSWORD})
    assert answer.status_code == 302
    return b"cookie", f"openclaw_session={browser.cookies['openclaw_session'].value}".encode()
