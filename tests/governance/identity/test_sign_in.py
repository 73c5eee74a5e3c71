"""Signing in and out: by password through allauth's flow, for people only, with a kept session."""

from __future__ import annotations

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import NoReverseMatch, reverse

from governance.identity.models import UserSession
from governance.identity.sessions import digest
from governance.principals import Role
from governance.tenants.models import User
from tests.factories.governance import PASSWORD, make_application
from tests.governance.identity.people import LOGIN

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def test_a_password_opens_a_session_that_is_kept_and_recorded(org, person, log, everything):
    anna = person(org, Role.DEVELOPER, **{"User-Agent": FIREFOX})
    assert anna.client.get("/console/").status_code == 200
    assert anna.factor() == "password"
    (row,) = everything(UserSession)
    assert (row.user_id, row.tenant_id, row.factor) == (anna.user.id, org.id, "password")
    assert (row.program, row.network) == ("Firefox, Linux", "127.0.0.0/24")
    assert row.key_digest == digest(anna.client.session.session_key)
    (entry,) = log("identity.session.begin")
    assert (entry.actor_id, entry.tenant_id) == (str(anna.user.id), org.id)
    assert entry.details["factor"] == "password"


def test_the_database_holds_nothing_that_opens_a_session(org, person):
    anna = person(org, Role.DEVELOPER)
    key = anna.client.session.session_key
    assert Session.objects.filter(session_key=digest(key)[:40]).exists()
    assert not Session.objects.filter(session_key=key).exists()
    thief = Client()
    thief.cookies["openclaw_session"] = digest(key)[:40]
    assert thief.get("/console/").status_code == 302


def test_signing_in_gives_the_session_a_new_key(org, member):
    client = Client()
    user = member(org, Role.DEVELOPER)
    session = client.session
    session["seed"] = "planted"
    session.save()
    client.cookies["openclaw_session"] = planted = session.session_key
    client.post(LOGIN, {"username": user.username, "password": PASSWORD})
    assert client.session.session_key != planted
    assert Client(headers={"Cookie": f"openclaw_session={planted}"}).get("/console/").status_code == 302


def test_signing_out_ends_the_session(org, person, log, everything):
    anna = person(org, Role.DEVELOPER)
    cookie = anna.client.cookies["openclaw_session"].value
    assert anna.client.get("/accounts/logout/").status_code == 405
    assert anna.post("/accounts/logout/").headers["Location"] == LOGIN
    (row,) = everything(UserSession)
    assert (row.end_reason, row.ended_at is None) == ("signed out", False)
    assert [entry.reason for entry in log("identity.session.end")] == ["signed out"]
    assert Client(headers={"Cookie": f"openclaw_session={cookie}"}).get("/console/").status_code == 302


@pytest.mark.parametrize(
    ("following", "place"),
    [
        ("/console/skills/", "/console/skills/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("", "/"),
    ],
)
def test_the_way_back_stays_on_this_site(org, person, following, place):
    anna = person(org, Role.DEVELOPER, signed_in=False)
    assert anna.sign_in(following=following).headers["Location"] == place


def test_nobody_signs_in_as_a_program_whatever_its_password(org):
    application, _secret = make_application(org, scopes=["models:read"])
    account = application.service_user
    account.set_password(PASSWORD)
    account.save()
    client = Client()
    answer = client.post(LOGIN, {"username": account.username, "password": PASSWORD})
    assert answer.status_code == 403
    assert "_auth_user_id" not in client.session


def test_a_disabled_account_stays_out_and_is_not_told_apart(org, person):
    anna = person(org, Role.DEVELOPER, signed_in=False)
    User.objects.filter(pk=anna.user.pk).update(is_active=False)
    disabled, wrong = anna.sign_in(), anna.post(LOGIN, username="nobody-here", password="wrong-wrong")
    assert disabled.status_code == wrong.status_code == 200
    assert b"User name or password is not right." in disabled.content
    assert b"User name or password is not right." in wrong.content


@pytest.mark.parametrize(
    "name", ["account_signup", "socialaccount_signup", "socialaccount_connections", "account_email"]
)
def test_there_is_no_sign_up_and_no_other_page_of_the_library(name):
    with pytest.raises(NoReverseMatch):
        reverse(name)


def test_a_lock_is_recorded_once(org, person, log):
    anna = person(org, Role.DEVELOPER, signed_in=False)
    for _attempt in range(7):
        last = anna.post(LOGIN, username=anna.user.username, password="wrong")
    assert last.status_code == 429
    (entry,) = log("identity.sign-in.lock")
    assert (entry.decision, entry.tenant_id) == ("deny", org.id)


def test_a_changed_password_ends_every_other_session(org, person, log):
    anna, elsewhere = person(org, Role.DEVELOPER), Client()
    elsewhere.post(LOGIN, {"username": anna.user.username, "password": PASSWORD})
    assert elsewhere.get("/console/").status_code == 200
    before = anna.client.session.session_key
    new = "a quite different pass phrase"
    answer = anna.post("/accounts/password/", old_password=PASSWORD, new_password1=new, new_password2=new)
    assert answer.status_code == 302
    assert anna.client.get("/console/").status_code == 200
    assert anna.client.session.session_key != before
    assert elsewhere.get("/console/").status_code == 302
    assert len(log("access.password.change")) == 1


def test_a_session_is_of_one_browser_even_when_it_signs_in_twice(org, person, everything):
    anna = person(org, Role.DEVELOPER)
    anna.client.logout()
    anna.sign_in()
    assert sorted(row.end_reason for row in everything(UserSession)) == ["", "signed out"]
