"""Whoever writes it, and by whatever path: every end of a right is announced in the same transaction."""

from __future__ import annotations

from hashlib import sha256

import psycopg
import pytest
from django.db import transaction
from django.test import Client

from governance.principals import Role
from governance.tenants.context import platform_scope
from tests.factories.governance import PASSWORD

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey", "platform")]


@pytest.fixture
def heard(services):
    dsn = services.postgres.app_url("test_openclaw")
    with psycopg.connect(dsn, autocommit=True) as listening:
        listening.execute("LISTEN openclaw")
        yield lambda: {notice.payload for notice in listening.notifies(timeout=0.3)}


@pytest.fixture
def as_superuser(services):
    """Somebody who writes past the product, where no trigger but the table's own runs."""

    def run(statement, *parameters):
        dsn = services.postgres.superuser_dsn.replace("/postgres?", "/test_openclaw?")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(statement, parameters)

    return run


def test_a_session_that_ends_is_told_by_a_digest_and_never_by_its_key(org, member, heard):
    user = member(org, Role.DEVELOPER)
    browser = Client()
    browser.post("/accounts/login/", {"username": user.username, "password": PASSWORD})
    key = browser.cookies["openclaw_session"].value
    heard()
    browser.post("/accounts/logout/")
    told = heard()
    digest = sha256(key.encode()).hexdigest()
    assert f"session:{digest[:40]}" in told
    assert not any(key in payload for payload in told)


def test_a_session_row_that_is_its_own_key_is_told_by_its_digest(heard, as_superuser):
    """What another session engine, or a restored backup, may have left."""
    as_superuser("INSERT INTO django_session VALUES ('abc', '', now())")
    as_superuser("DELETE FROM django_session")
    assert heard() == {f"session:{sha256(b'abc').hexdigest()}"}


def test_a_new_password_and_a_disabled_account_are_told_and_a_sign_in_is_not(
    org, member, heard, as_superuser
):
    user = member(org, Role.DEVELOPER)
    heard()
    as_superuser("UPDATE tenants_user SET last_login = now() WHERE id = %s", user.id)
    assert heard() == set()
    as_superuser("UPDATE tenants_user SET password = 'other' WHERE id = %s", user.id)
    assert heard() == {f"user:{user.id}"}
    as_superuser("UPDATE tenants_user SET is_active = false WHERE id = %s", user.id)
    assert heard() == {f"membership:{user.id}"}


def test_a_second_factor_that_comes_or_goes_is_told(org, member, heard, as_superuser):
    user = member(org, Role.DEVELOPER)
    heard()
    as_superuser(
        "INSERT INTO mfa_authenticator (type, data, user_id, created_at) VALUES ('totp', '{}', %s, now())",
        user.id,
    )
    assert heard() == {f"user:{user.id}"}
    as_superuser("DELETE FROM mfa_authenticator WHERE user_id = %s", user.id)
    assert heard() == {f"user:{user.id}"}


def test_a_role_and_a_suspension_are_told(org, member, heard, as_superuser):
    user = member(org, Role.DEVELOPER)
    heard()
    as_superuser("DELETE FROM tenants_membership WHERE user_id = %s", user.id)
    assert heard() == {f"membership:{user.id}"}
    as_superuser("UPDATE tenants_tenant SET suspended_at = now() WHERE id = %s", org.id)
    assert heard() == {f"tenant:{org.id}"}


def test_a_plugin_version_that_changes_its_state_is_told(partner_org, heard, as_superuser):
    from marketplace.catalog.models import Partner, Plugin, PluginVersion

    with platform_scope(), transaction.atomic():
        partner = Partner.objects.create(tenant=partner_org, slug="acme", display_name="Acme")
        plugin = Plugin.objects.create(tenant=partner_org, partner=partner, slug="reader")
        version = PluginVersion.objects.create(
            tenant=partner_org,
            plugin=plugin,
            version="1.0.0",
            sha256="0" * 64,
            size_bytes=1,
            manifest={},
            risk_level="low",
            purpose="test",
            submission_id=partner.id,
            archive_path="x",
        )
    heard()
    as_superuser("UPDATE catalog_pluginversion SET purpose = 'other' WHERE id = %s", version.id)
    assert heard() == set()
    as_superuser("UPDATE catalog_pluginversion SET state = 'blocked' WHERE id = %s", version.id)
    assert heard() == {f"plugin:{version.id}"}
