"""Rollouts over REST: who may, what is told, and two administrators at once."""

from __future__ import annotations

import pytest
from django.test import Client

from governance.principals import Role
from tests.factories.governance import bearer_token, make_application

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]


def headers(org, *scopes, role):
    application, secret = make_application(org, scopes=scopes, role=role)
    return {"Authorization": f"Bearer {bearer_token(application, secret)}"}


def test_a_rollout_over_rest(endpoint, org, other_org, traffic):
    keeper = headers(org, "models:read", "tenant:manage", role=Role.TENANT_ADMIN)
    reader = headers(org, "models:read", role=Role.DEVELOPER)
    stranger = headers(other_org, "models:read", "tenant:manage", role=Role.TENANT_ADMIN)
    client = Client()

    def post(path, body, who=keeper):
        return client.post(f"/api/v1/rollouts/{path}", body, content_type="application/json", headers=who)

    body = {"endpoint": str(endpoint.id), "kind": "canary", "version": "2.0.0", "reason": "faster"}
    assert post("", body, reader).status_code == 403
    assert post("", body, stranger).status_code == 404
    refused = post("", body | {"plan": {"alpha": 3}})
    assert (refused.status_code, refused["Content-Type"]) == (400, "application/problem+json")
    made = post("", body)
    assert made.status_code == 201, made.content
    assert (made.json()["state"], made.json()["last_look"]) == ("running", None)
    assert [step["percent"] for step in made.json()["plan"]["steps"]] == [5, 25, 50]
    assert post("", body).status_code == 409
    path = f"{made.json()['id']}/"
    assert client.get(f"/api/v1/rollouts/{path}", headers=stranger).status_code == 404
    assert post(f"{path}cancel/", {}, stranger).status_code == 404
    assert post(f"{path}cancel/", {}, reader).status_code == 403
    assert client.get(f"/api/v1/rollouts/{path}looks/", headers=reader).json()["results"] == []
    seen = {"expected_state": "running", "expected_step": 0}
    assert post(f"{path}promote/", {"expected_step": 1}).status_code == 409
    assert post(f"{path}rollback/", seen | {"reason": "worse"}).json()["state"] == "rolled_back"
    assert post(f"{path}promote/", seen).status_code == 409
    listed = client.get(f"/api/v1/rollouts/?endpoint={endpoint.id}&state=rolled_back", headers=reader)
    assert [row["ended_reason"] for row in listed.json()["results"]] == ["worse"]


def test_routing_rules_over_rest(endpoint, org):
    keeper = headers(org, "models:read", "tenant:manage", role=Role.TENANT_ADMIN)
    client = Client()

    def post(path, body):
        return client.post(
            f"/api/v1/endpoints/{endpoint.id}/{path}/", body, content_type="application/json", headers=keeper
        )

    post("split", {"weights": {"1.0.0": 100, "2.0.0": 0}})
    rules = {
        "cohorts": [{"name": "beta", "version": "2.0.0"}],
        "shadows": [{"version": "2.0.0", "percent": 10}],
    }
    answer = post("routing", rules)
    assert answer.status_code == 200, answer.content
    assert answer.json()["routing"]["cohorts"] == [{"name": "beta", "version": "2.0.0", "members": []}]
    assert post("routing", {"cohorts": [{"name": "beta"}]}).status_code == 400
    assert post("routing", {"shadows": [{"version": "1.0.0", "percent": 1}]}).status_code == 400
    assert post("rollback", {}).json()["routing"] == {"cohorts": [], "shadows": []}


def test_holding_over_rest_and_in_the_console(endpoint, org, member):
    keeper = headers(org, "models:read", "tenant:manage", role=Role.TENANT_ADMIN)
    client = Client()

    def post(path, body):
        return client.post(f"/api/v1/rollouts/{path}", body, content_type="application/json", headers=keeper)

    made = post("", {"endpoint": str(endpoint.id), "kind": "canary", "version": "2.0.0"}).json()
    assert post(f"{made['id']}/hold/", {}).status_code == 400, "who is asked is told why"
    assert post(f"{made['id']}/hold/", {"reason": "wait", "expected_step": 3}).status_code == 409
    held = post(f"{made['id']}/hold/", {"reason": "the data centre moves"})
    assert (held.json()["state"], held.json()["ended_reason"]) == ("holding", "the data centre moves")
    assert post(f"{made['id']}/hold/", {"reason": "again"}).status_code == 409
    assert post(f"{made['id']}/resume/", {}).json()["state"] == "running"
    browser = Client()
    browser.force_login(member(org, Role.TENANT_ADMIN))
    page = f"/console/rollouts/{made['id']}/"
    assert 'value="hold"' in browser.get(page).content.decode()
    form = {"do": "hold", "reason": "lunch", "state": "running", "step": "0"}
    assert browser.post(f"{page}act/", form, follow=True).status_code == 200
    assert 'value="hold"' not in browser.get(page).content.decode()
    assert client.get(f"/api/v1/rollouts/{made['id']}/", headers=keeper).json()["ended_reason"] == "lunch"
