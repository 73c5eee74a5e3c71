"""Seeding the demo: one account per role, private passwords, and nothing twice."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from django.contrib.auth import authenticate
from django.db import transaction
from django.test import RequestFactory

from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, Tenant, User
from openclaw_site.demo import accounts
from openclaw_site.demo.people import ACCOUNTS_FILE, PARTNER_USER

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def var(tmp_path: Path, settings: object) -> Path:
    settings.OPENCLAW_VAR = tmp_path  # type: ignore[attr-defined]
    return tmp_path


def test_every_account_can_sign_in_and_has_its_role(var: Path) -> None:
    made = accounts.seed()
    request = RequestFactory().post("/accounts/login/")
    for account in made:
        if account.username == PARTNER_USER:
            continue  # applies on the site's own page
        user = authenticate(request, username=account.username, password=account.password)
        assert user is not None, account.username
        with platform_scope(), transaction.atomic():
            assert [m.role for m in Membership.objects.filter(user=user)] == [account.role]


def test_the_passwords_are_random_and_private(var: Path) -> None:
    accounts.seed()
    path = var / "secrets" / ACCOUNTS_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    passwords = [account["password"] for account in json.loads(path.read_text())["accounts"]]
    assert len(set(passwords)) == len(passwords)
    assert min(map(len, passwords)) >= 20


def test_doing_it_again_changes_nothing(var: Path) -> None:
    first = accounts.seed()
    with platform_scope(), transaction.atomic():
        before = (Tenant.objects.count(), User.objects.count(), Membership.objects.count())
    assert accounts.seed() == first
    with platform_scope(), transaction.atomic():
        assert (Tenant.objects.count(), User.objects.count(), Membership.objects.count()) == before


def test_a_lost_file_gives_new_passwords(var: Path) -> None:
    first = accounts.seed()
    (var / "secrets" / ACCOUNTS_FILE).unlink()
    second = accounts.seed()
    assert [a.username for a in second] == [a.username for a in first]
    assert all(a.password != b.password for a, b in zip(first, second, strict=True))
