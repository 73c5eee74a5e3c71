"""Experiments over REST and in the console: the size before the start, the start, the evidence, the refusals."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse

from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from inference.rollouts import controller
from inference.rollouts.experiment_pages import duration
from inference.rollouts.feedback import Item, give_feedback
from inference.rollouts.models import Rollout
from tests.factories.governance import bearer_token, make_application

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

PLAN = {
    "treatments": ["2.0.0", "3.0.0"],
    "metric": "error_rate",
    "effect": 0.05,
    "min_s": 0,
    "guardrails": [],
}


@pytest.fixture
def client_for():
    """A client of a program of that organisation and role."""

    def make(tenant, role=Role.TENANT_ADMIN, *scopes):
        application, secret = make_application(
            tenant, scopes=scopes or ("models:read", "tenant:manage"), role=role
        )
        token = bearer_token(application, secret)
        client = Client(headers={"Authorization": f"Bearer {token}"})

        def post(path, body):
            return client.post(f"/api/v1/{path}", body, content_type="application/json")

        client.send = post
        return client

    return make


@pytest.fixture
def browser(org, member):
    client = Client()
    client.force_login(member(org, Role.TENANT_ADMIN))
    return client


@pytest.fixture
def look(monkeypatch):
    """The controller comes by; changes are in force at once."""
    from inference.rollouts import experiment_windows

    monkeypatch.setattr(experiment_windows, "SETTLE", timedelta(0))

    def come(rollout_id):
        with platform_scope(), transaction.atomic():
            Rollout.objects.filter(pk=rollout_id).update(looked_at=None)
        controller.control_rollouts()

    return come


def test_the_size_is_told_before_the_start_and_changes_nothing(endpoint, org, client_for, traffic, split):
    path = f"endpoints/{endpoint.id}/experiments/plan/"
    client = client_for(org)
    unknown = client.send(path, PLAN).json()["size"]
    assert (unknown["baseline"], unknown["assumed"], unknown["duration_s"], unknown["fits"]) == (
        None, True, None, None,
    )  # fmt: skip
    traffic("1.0.0", 360, errors=0.2)
    known = client.send(path, PLAN)
    assert known.status_code == 200, known.content
    plan, size = known.json()["plan"], known.json()["size"]
    assert plan["shares"] == {"1.0.0": 34, "2.0.0": 33, "3.0.0": 33}
    assert (plan["alpha"], plan["end"], plan["versions"]) == (0.05, "ask", ["1.0.0", "2.0.0", "3.0.0"])
    assert 0.1 < size["baseline"] < 0.3
    assert size["level"] == pytest.approx(0.025)
    assert size["per_second"] == pytest.approx(0.1)
    arm = size["arms"][0]
    assert arm["requests"] == arm["samples"] < unknown["arms"][0]["samples"]
    assert arm["duration_s"] == pytest.approx(arm["requests"] / 0.033)
    assert size["fits"] == (size["duration_s"] <= 14 * 86_400)
    faster = client.send(path, PLAN | {"per_second": 100}).json()["size"]
    assert faster["duration_s"] == pytest.approx(arm["requests"] / 33)
    finer = client.send(path, PLAN | {"effect": 0.025}).json()["size"]
    assert finer["arms"][0]["samples"] > 3 * arm["samples"]
    assert not client.send(path, PLAN | {"effect": 0.5}).json()["size"]["possible"]
    assert split() == {"1.0.0": 100}
    refused = client.send(path, PLAN | {"effect": -1})
    assert (refused.status_code, refused["Content-Type"]) == (400, "application/problem+json")


def test_the_size_of_a_metric_that_only_some_requests_tell(endpoint, org, admin, client_for, traffic):
    client, path = client_for(org), f"endpoints/{endpoint.id}/experiments/plan/"
    plan = PLAN | {"metric": "cost", "effect": 0.2}
    assert client.send(path, plan).json()["size"]["arms"] == []
    rows = traffic("1.0.0", 200)
    with tenant_context(admin.tenant_id):
        items = [Item(row.id, str(row.id), {"cost": float(n % 3)}) for n, row in enumerate(rows[:50])]
        give_feedback(principal=admin, items=items)
    size = client.send(path, plan).json()["size"]
    assert size["told"] == 0.25
    assert size["baseline"] == pytest.approx(0.98)
    assert size["arms"][0]["requests"] == 4 * size["arms"][0]["samples"]
    latency = client.send(path, PLAN | {"metric": "p99", "effect": 0.005}).json()["size"]
    assert latency["baseline"] == pytest.approx(0.01)


def test_an_experiment_over_rest(endpoint, org, other_org, client_for, split):
    keeper, stranger = client_for(org), client_for(other_org)
    reader = client_for(org, Role.DEVELOPER, "models:read")
    path = f"endpoints/{endpoint.id}/experiments/"
    for address in (path, f"{path}plan/"):
        assert stranger.send(address, PLAN).status_code == 404
        assert reader.send(address, PLAN).status_code == 403
    assert keeper.send(path, PLAN | {"metric": "beauty"}).status_code == 400
    assert keeper.send(path, PLAN | {"guardrails": [{"metric": "p99"}]}).status_code == 400
    made = keeper.send(path, PLAN | {"reason": "which one"})
    assert made.status_code == 201, made.content
    assert (made.json()["kind"], made.json()["stable"], made.json()["candidate"]) == (
        "experiment", "1.0.0", None,
    )  # fmt: skip
    assert split() == {"1.0.0": 34, "2.0.0": 33, "3.0.0": 33}
    assert keeper.send(path, PLAN).status_code == 409
    assert keeper.send(f"{path}plan/", PLAN).status_code == 409
    rollout = f"rollouts/{made.json()['id']}/"
    assert stranger.send(f"{rollout}stop-arm/", {"version": "2.0.0"}).status_code == 404
    assert reader.send(f"{rollout}stop-arm/", {"version": "2.0.0"}).status_code == 403
    assert keeper.send(f"{rollout}stop-arm/", {"version": "1.0.0"}).status_code == 400
    assert keeper.send(f"{rollout}stop-arm/", {"version": "2.0.0", "reason": "complaints"}).status_code == 200
    assert split() == {"1.0.0": 67, "2.0.0": 0, "3.0.0": 33}
    assert keeper.send(f"{rollout}cancel/", {}).json()["state"] == "cancelled"
    assert split() == {"1.0.0": 100}
    # The same as any other kind of rollout.
    body = {"endpoint": str(endpoint.id), "kind": "experiment", "plan": PLAN}
    assert keeper.send("rollouts/", body).json()["plan"]["metric"] == "error_rate"


def test_an_experiment_in_the_console(endpoint, browser, traffic, split, look):
    page = reverse("page-experiment-start", args=[endpoint.id])
    assert page in browser.get(reverse("endpoint", args=[endpoint.id])).content.decode()
    assert page in browser.get(reverse("page-rollout-start", args=[endpoint.id])).content.decode()
    shown = browser.get(page).content.decode()
    assert 'name="share-1.0.0"' in shown
    form = {
        "share-1.0.0": "40", "share-2.0.0": "30", "share-3.0.0": "30", "metric": "error_rate", "effect": "10",
        "alpha": "5", "power": "80", "errors": "90", "slow": "90", "hours": "0", "days": "7", "samples": "",
        "end": "ask", "reason": "which one",
    }  # fmt: skip
    traffic("1.0.0", 300, errors=0.5)
    planned = browser.post(page, form | {"do": "plan"}).content.decode()
    assert "How long it takes" in planned
    assert split() == {"1.0.0": 100}
    for wrong in ({"share-1.0.0": "4"}, {"effect": "x"}, {"samples": "many"}, {"share-2.0.0": "-1"}):
        assert browser.post(page, form | wrong).status_code == 400
    started = browser.post(page, form)
    assert started.status_code == 302, started.content
    rollout = browser.get(started.url).content.decode()
    assert "Waiting for the first look" in rollout
    assert "Smallest difference that matters" in rollout
    traffic("1.0.0", 400, errors=0.6, propensity=0.4)
    traffic("2.0.0", 300, errors=0.1, propensity=0.3)
    traffic("3.0.0", 300, errors=1.0, propensity=0.3)
    made = started.url.strip("/").rpartition("/")[2]
    look(made)
    shown = browser.get(started.url).content.decode()
    assert "3.0.0 is stopped: it is shown worse than the control" in shown
    assert split() == {"1.0.0": 70, "2.0.0": 30, "3.0.0": 0}
    look(made)
    shown = browser.get(started.url).content.decode()
    assert "2.0.0 wins" in shown
    assert "All intervals hold together" in shown
    assert "The arms got the requests that their shares promise" in shown
    evidence = browser.get(reverse("page-rollout-look", args=[made, 1])).content.decode()
    assert "Versions compared" in evidence
    assert browser.get(reverse("page-rollout-live", args=[made])).status_code == 200
    act = reverse("page-rollout-act", args=[made])
    assert browser.post(act, {"do": "promote", "version": "2.0.0", "state": "holding"}).status_code == 302
    assert split() == {"1.0.0": 0, "2.0.0": 100, "3.0.0": 0}
    assert page in browser.get(started.url).content.decode(), "the next one is a click away"


def test_a_person_stops_a_version_in_the_console_and_strangers_do_not(
    endpoint, org, other_org, browser, member, client_for, split
):
    made = client_for(org).send(f"endpoints/{endpoint.id}/experiments/", PLAN).json()["id"]
    stop, page = (
        reverse("page-rollout-stop-arm", args=[made]),
        reverse("page-experiment-start", args=[endpoint.id]),
    )
    stranger, developer = Client(), Client()
    stranger.force_login(member(other_org, Role.TENANT_ADMIN))
    developer.force_login(member(org, Role.DEVELOPER))
    assert stranger.post(stop, {"version": "2.0.0"}).status_code == 404
    assert developer.post(stop, {"version": "2.0.0"}).status_code == 403
    assert stranger.get(page).status_code == 404
    assert developer.get(page).status_code == 403
    assert browser.post(stop, {"version": "2.0.0"}).status_code == 302
    assert split()["2.0.0"] == 0
    second = browser.post(page, {"share-1.0.0": "50", "share-2.0.0": "50", "do": "plan"})
    assert second.status_code == 409


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 minutes"), (20, "less than a minute"), (60, "1 minute"), (90, "1.5 minutes"), (3600, "1 hour"),
        (86_400, "1 day"), (200_000, "2.31 days"),
    ],
)  # fmt: skip
def test_lengths_of_time_in_words(seconds, said):
    assert duration(seconds) == said
