"""What the tests of data governance's pages share."""

from __future__ import annotations

import pytest
from django.test import Client


@pytest.fixture
def browser(member):
    def signed_in(tenant, role) -> Client:
        made = Client()
        made.force_login(member(tenant, role), backend="django.contrib.auth.backends.ModelBackend")
        return made

    return signed_in
