"""What every REST endpoint inherits: who is asking, the gate, problem details, and the audit of refusals."""

import json

import pytest
from django.db import transaction
from django.test import Client

from governance.audit.models import AuditEntry
from governance.principals import Role
from governance.tenants.context import platform_scope
from tests.factories.governance import PASSWORD, bearer_token, make_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def refusals():
    with platform_scope(), transaction.atomic():
        return list(AuditEntry.objects.filter(decision="deny"))


@pytest.fixture
def browser(org, member):
    def sign_in(*roles, tenant=org):
        client = Client(enforce_csrf_checks=False)
        client.force_login(member(tenant, *roles), backend="django.contrib.auth.backends.ModelBackend")
        return client

    return sign_in


def test_an_unknown_token_is_401_with_a_challenge_and_problem_details(org):
    response = Client().get("/api/v1/me/", headers={"Authorization": "Bearer nothing"})
    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["status"] == 401


def test_a_bearer_token_is_never_mixed_with_a_session(org, browser):
    client = browser(Role.TENANT_ADMIN)
    assert client.get("/api/v1/me/").json()["roles"] == ["tenant_admin"]
    assert client.get("/api/v1/me/", headers={"Authorization": "Bearer nothing"}).status_code == 401


def test_a_token_says_who_it_is(org):
    application, secret = make_application(org, scopes=["models:read"])
    token = bearer_token(application, secret)
    me = Client().get("/api/v1/me/", headers={"Authorization": f"Bearer {token}"}).json()
    assert me.pop("assurance") == {
        "level": 1,
        "acr": "urn:openclaw:aal:1",
        "reasons": [],
        "factor": "secret",
        "factor_age_s": 0,
        "bound": False,
        "device": "unknown",
    }
    assert me == {
        "kind": "client",
        "name": application.name,
        "tenant_id": str(org.id),
        "roles": ["service"],
        "scopes": ["models:read"],
    }


def test_a_refusal_is_403_names_the_right_and_is_kept(org, browser):
    response = browser(Role.DEVELOPER).post(
        "/api/v1/applications/", {"name": "x", "scopes": ["models:infer"]}
    )
    assert response.status_code == 403
    assert "access.application.manage" in response.json()["hint"]
    (entry,) = refusals()
    assert (entry.action, entry.tenant_id) == ("access.application.manage", org.id)
    assert entry.request_id == response["X-Request-ID"]


def test_a_session_needs_the_csrf_token(org, member):
    client = Client(enforce_csrf_checks=True)
    user = member(org, Role.TENANT_ADMIN)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    response = client.post("/api/v1/applications/", {"name": "x", "scopes": ["models:infer"]})
    assert response.status_code == 403


def test_the_secret_of_a_new_client_works_and_is_shown_once(org, browser):
    client = browser(Role.TENANT_ADMIN)
    body = json.dumps({"name": "app", "scopes": ["models:infer"]})
    made = client.post("/api/v1/applications/", body, content_type="application/json")
    assert made.status_code == 201
    credentials = {"grant_type": "client_credentials", "client_id": made.json()["client_id"]}
    answer = Client().post("/o/token/", credentials | {"client_secret": made.json()["client_secret"]})
    assert answer.status_code == 200
    listed = client.get("/api/v1/applications/").json()["results"]
    assert [item["name"] for item in listed] == ["app"]
    assert "client_secret" not in listed[0]


def test_field_errors_point_at_the_field(org, browser):
    body = json.dumps({"scopes": ["everything"]})
    answer = browser(Role.TENANT_ADMIN).post("/api/v1/applications/", body, content_type="application/json")
    assert answer.status_code == 400
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/name", "/scopes/0"}


def test_a_tenant_reads_its_own_audit_log_only(org, other_org, browser):
    browser(Role.DEVELOPER).post("/api/v1/applications/", {})
    refused = "/api/v1/audit-entries/?decision=deny"
    assert len(browser(Role.TENANT_ADMIN).get(refused).json()["results"]) == 1
    assert browser(Role.TENANT_ADMIN, tenant=other_org).get(refused).json()["results"] == []
    assert browser(Role.DEVELOPER).get("/api/v1/audit-entries/").status_code == 403


def test_a_request_id_is_taken_over_only_when_well_formed(org):
    client = Client()
    assert client.get("/health/live", headers={"X-Request-ID": "abc-1"})["X-Request-ID"] == "abc-1"
    assert client.get("/health/live", headers={"X-Request-ID": "a b\n"})["X-Request-ID"] != "a b\n"


def test_sign_in_is_locked_after_repeated_failures(org, member):
    member(org, Role.DEVELOPER, username="anna")
    client = Client()
    for _attempt in range(5):
        client.post("/accounts/login/", {"username": "anna", "password": "guess"})
    answer = client.post("/accounts/login/", {"username": "anna", "password": PASSWORD})
    assert answer.status_code == 429


def test_unknown_addresses_and_objects_are_problem_details(org, browser):
    answer = browser(Role.TENANT_ADMIN).get("/api/v1/applications/00000000-0000-7000-8000-000000000000/")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:openclaw:problem:not-found"
