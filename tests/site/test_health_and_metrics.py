"""Health tells the truth about each part; metrics are for those who may read them."""

import pytest
from django.conf import settings
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from openclaw_site import readiness
from tests.factories.governance import bearer_token, make_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey", "platform")]


def test_live_needs_no_part():
    assert Client().get("/health/live").json() == {"live": True}


def test_ready_names_the_part_that_does_not_work(monkeypatch):
    def broken():
        raise OSError("a secret detail")

    monkeypatch.setitem(readiness.PROBES, "valkey", broken)
    answer = Client().get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["parts"]["valkey"] == "unavailable"
    assert answer.json()["parts"]["database"] == "ok"
    assert "secret detail" not in answer.content.decode()


def test_missing_workers_make_it_unhealthy_but_do_not_take_the_site_out(monkeypatch):
    monkeypatch.setitem(readiness.PROBES, "inference", lambda: "ok")
    body = Client().get("/health/ready").json()
    assert body["ready"] is True
    assert body["healthy"] is False
    assert body["parts"]["workers"].startswith("no worker for ")


def test_a_site_that_does_not_hear_of_changes_says_so_and_goes_on(monkeypatch):
    monkeypatch.setitem(readiness.PROBES, "inference", lambda: "ok")
    body = Client().get("/health/ready").json()
    assert body["ready"] is True
    assert body["healthy"] is False
    assert body["parts"]["changes"] == "changes are not heard of; cached answers live 1 s"


@pytest.mark.parametrize("header", ["", "Bearer wrong"])
def test_metrics_are_closed_to_others(header):
    assert Client().get("/metrics", headers={"Authorization": header}).status_code == 401


def test_metrics_with_the_metrics_token():
    answer = Client().get("/metrics", headers={"Authorization": f"Bearer {settings.METRICS_TOKEN}"})
    assert answer.status_code == 200
    assert 'openclaw_queue_depth{queue="batch"} 0.0' in answer.content.decode()


def test_every_metric_is_told_once():
    """Prometheus refuses a scrape in which a family comes twice."""
    answer = Client().get("/metrics", headers={"Authorization": f"Bearer {settings.METRICS_TOKEN}"})
    names = [family.name for family in text_string_to_metric_families(answer.content.decode())]
    assert len(names) == len(set(names))
    assert {"openclaw_batch_jobs", "openclaw_submissions", "openclaw_inference_requests"} <= set(names)


def test_no_tenants_token_opens_the_metrics_of_all(org):
    """Metrics name every tenant's endpoints: a scope that a tenant gave its own client must not be enough."""
    application, secret = make_application(org, scopes=["metrics:read"])
    token = bearer_token(application, secret)
    assert Client().get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 401
