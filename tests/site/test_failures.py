"""Answers that no view gave: the right status, the right form, nothing of the inside."""

import pytest
from django.db import OperationalError
from django.test import Client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey", "platform")]


@pytest.fixture
def browser():
    return Client(raise_request_exception=False)


def broken(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "status"), [(OperationalError("host=secret"), 503), (RuntimeError("secret"), 500)]
)
def test_the_api_answers_problem_details(browser, monkeypatch, error, status):
    monkeypatch.setattr("governance.access.rest_auth.require", broken(error))
    answer = browser.get("/api/v1/me/")
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert b"secret" not in answer.content


@pytest.mark.parametrize(
    ("error", "status"), [(OperationalError("host=secret"), 503), (RuntimeError("secret"), 500)]
)
def test_a_page_answers_readably(browser, monkeypatch, error, status):
    monkeypatch.setattr("openclaw_site.views.decide", broken(error))
    answer = browser.get("/metrics")
    assert answer.status_code == status
    assert b"<h1>" in answer.content
    assert b"secret" not in answer.content
    assert ("Retry-After" in answer.headers) is (status == 503)


def test_unknown_addresses(browser):
    assert browser.get("/api/v1/nothing/").json()["type"] == "urn:openclaw:problem:not-found"
    page = browser.get("/nothing/")
    assert page.status_code == 404
    assert b"<h1>" in page.content
