"""Secrets and payloads never reach the log: real flows with marked secrets, then every column of every entry."""

from __future__ import annotations

import json
import secrets

import psycopg
import pytest
from django.test import Client

from governance.access import services
from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope, tenant_context
from tests.factories.governance import PASSWORD, bearer_token, make_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture
def whole_log(services):
    def read() -> str:
        dsn = services.postgres.superuser_dsn.replace("/postgres?", "/test_openclaw?")
        with psycopg.connect(dsn) as connection:
            rows = connection.execute("SELECT to_jsonb(e)::text FROM audit_auditentry e").fetchall()
        return "\n".join(row for (row,) in rows)

    return read


def test_secrets_tokens_and_passwords_never_occur_in_the_log(org, platform, member, principal_for, whole_log):
    canaries = {
        "person's password": f"canary-{secrets.token_hex(8)} horse",
        "typed": f"wrong-{secrets.token_hex(8)}",
    }
    admin = principal_for(org, Role.TENANT_ADMIN)
    with tenant_context(org.id):
        services.create_person(principal=admin, username="carla", password=canaries["person's password"])
    application, secret = make_application(org, scopes=["models:read", "audit:read"])
    canaries["client's secret"] = secret
    canaries["token"] = bearer_token(application, secret, "models:read")
    browser = Client()
    # A password typed wrong, one typed into the wrong place, and a right one.
    member(org, Role.TENANT_ADMIN, username="dora")
    browser.post("/login/", {"username": "dora", "password": canaries["typed"]})
    browser.post("/login/", {"username": "dora", "password": PASSWORD})
    canaries["right password"] = PASSWORD
    # A refused request with a token, and with a body that holds something.
    canaries["body"] = f"payload-{secrets.token_hex(8)}"
    canaries["query"] = f"query-{secrets.token_hex(8)}"
    bearer = {"Authorization": f"Bearer {canaries['token']}"}
    refused = Client().post(
        f"/api/v1/audit-verifications/?x={canaries['query']}",
        json.dumps({"tenant": canaries["body"]}),
        content_type="application/json",
        headers=bearer,
    )
    assert refused.status_code == 403
    with platform_scope():
        services.disable_application(principal=SYSTEM, application_id=application.id)
    log = whole_log()
    assert log.count("\n") >= 3
    assert "access.application.create" in log
    assert '"deny"' in log
    for name, canary in canaries.items():
        assert canary not in log, name


def test_the_canaries_would_be_found(org, write, whole_log):
    canary = secrets.token_hex(8)
    write(org, 1, reason=canary)
    assert canary in whole_log()
