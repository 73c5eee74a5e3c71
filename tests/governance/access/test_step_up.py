"""Who must prove the identity again is told how on every face, and nothing is done meanwhile."""

import json
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import transaction
from django.test import Client

from governance.access.models import Application
from governance.access.signals import SESSION_FACTOR
from governance.audit.models import AuditEntry
from governance.principals import Factor, Role
from governance.tenants.context import platform_scope

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

NEW = json.dumps({"name": "app", "scopes": ["models:infer"]})


@pytest.fixture
def admin(org, member):
    """An administrator in whose session something has changed since a password was shown: level 0."""
    client = Client()
    client.force_login(member(org, Role.TENANT_ADMIN), backend="django.contrib.auth.backends.ModelBackend")
    session = client.session
    now = time.time()
    session[SESSION_FACTOR] = {
        "factor": Factor.PASSWORD.value,
        "at": now - 100,
        "network": "",
        "client": "",
        "network_changed_at": now - 10,
    }
    session.save()
    return client


def applications():
    with platform_scope(), transaction.atomic():
        return Application.objects.count()


def test_the_api_answers_with_the_challenge_of_rfc_9470(admin):
    answer = admin.post("/api/v1/applications/", NEW, content_type="application/json")
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    challenge = answer["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="OpenClaw", error="insufficient_user_authentication"')
    assert 'acr_values="urn:openclaw:aal:1"' in challenge
    assert "max_age" not in challenge
    problem = answer.json()
    assert problem["type"] == "urn:openclaw:problem:insufficient-user-authentication"
    assert problem["step_up"]["acr_values"] == "urn:openclaw:aal:1"
    assert problem["step_up"]["page"].startswith("/")
    assert applications() == 0
    with platform_scope(), transaction.atomic():
        assert AuditEntry.objects.filter(decision="deny", action="access.application.manage").count() == 1


def test_a_form_is_not_sent_and_says_what_to_do(admin):
    answer = admin.post(
        "/applications/",
        {"name": "app", "scopes": ["models:infer"]},
        headers={"Referer": "http://testserver/applications/?page=2"},
    )
    assert answer.status_code == 401
    text = answer.content.decode()
    assert "Nothing has been changed" in text
    assert "next=%2Fapplications%2F%3Fpage%3D2&amp;level=1" in text
    assert applications() == 0


@pytest.mark.parametrize("referer", ["https://evil.example/x", "//evil.example", "javascript:alert(1)", ""])
def test_nobody_is_led_back_to_a_strangers_page(admin, referer):
    answer = admin.post(
        "/applications/", {"name": "a", "scopes": ["models:infer"]}, headers={"Referer": referer}
    )
    assert "evil" not in answer.content.decode()
    assert "javascript" not in answer.content.decode()


def test_a_part_of_a_page_sends_the_whole_page(admin):
    answer = admin.post(
        "/applications/",
        {"name": "app", "scopes": ["models:infer"]},
        headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/applications/"},
    )
    way = urlsplit(answer["HX-Redirect"])
    assert (answer.status_code, parse_qs(way.query)) == (204, {"next": ["/applications/"], "level": ["1"]})


def test_the_factor_shown_again_opens_the_way(admin):
    session = admin.session
    session[SESSION_FACTOR] = {"factor": "password", "at": time.time(), "network": "", "client": ""}
    session.save()
    answer = admin.post("/api/v1/applications/", NEW, content_type="application/json")
    assert answer.status_code == 201


def test_who_i_am_says_why_i_am_trusted_so_little(admin):
    told = admin.get("/api/v1/me/").json()["assurance"]
    assert (told["level"], told["factor"]) == (0, "password")
    assert told["reasons"] == ["the network has changed since the last factor"]
    assert 95 <= told["factor_age_s"] <= 300


def test_a_page_that_is_only_read_leads_to_the_proof_and_back(org, principal_for):
    from django.test import RequestFactory

    from governance.access import stepup
    from governance.decision import Decision, StepUp
    from governance.errors import StepUpRequired

    request = RequestFactory().get("/console/keys/?tab=1")
    request.principal = principal_for(org, Role.TENANT_ADMIN)
    decision = Decision(False, "x", ("r",), request.principal, step_up=StepUp(3, 60))
    answer = stepup.answer(request, StepUpRequired("r", decision=decision))
    assert answer.status_code == 302
    assert parse_qs(urlsplit(answer["Location"]).query) == {"next": ["/console/keys/?tab=1"], "level": ["3"]}
