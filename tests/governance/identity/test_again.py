"""Proving who one is again: exactly the factors that reach the level, a new session key, and the way on."""

from __future__ import annotations

import time

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from governance.access.assurance import LEVELS
from governance.identity.views.again import offer
from governance.principals import Factor, Role
from tests.factories.governance import PASSWORD
from tests.governance.identity.people import AGAIN, LOGIN, SECURITY, forget_used_codes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

HELD = st.frozensets(st.sampled_from([Factor.PASSWORD, Factor.OTP, Factor.PASSKEY]))


@given(held=HELD, level=st.integers(1, 3), present=st.sampled_from(list(Factor)))
def test_what_is_offered_is_held_and_reaches_the_level(held, level, present):
    offered = offer(held, level, present=present)
    chosen = {
        factor
        for factor, yes in (
            (Factor.PASSWORD, offered.password),
            (Factor.OTP, offered.code),
            (Factor.PASSKEY, offered.passkey),
        )
        if yes
    }
    assert chosen <= held
    assert all(LEVELS[factor] >= level for factor in chosen)
    assert {factor for factor in held - {Factor.PASSWORD} if LEVELS[factor] >= level} <= chosen
    # Whoever holds something that reaches the level has a way on.
    assert bool(chosen) == any(LEVELS[factor] >= level for factor in held)


def age(person, seconds: int) -> None:
    """Let the session's last proof be so much older."""
    session = person.client.session
    session["openclaw_factor"] = session["openclaw_factor"] | {"at": time.time() - seconds}
    session.save()


def test_a_page_that_needs_a_fresh_proof_leads_there_and_back(org, person, log):
    anna = person(org, Role.DEVELOPER)
    age(anna, 600)
    asked = anna.client.get(f"{SECURITY}totp/")
    assert asked.status_code == 302
    assert asked.headers["Location"].startswith(AGAIN)
    page = anna.client.get(asked.headers["Location"])
    assert b'name="password"' in page.content
    assert b'name="code"' not in page.content
    before = anna.client.session.session_key
    answer = anna.post(AGAIN, password=PASSWORD, level=1, next=f"{SECURITY}totp/")
    assert answer.headers["Location"] == f"{SECURITY}totp/"
    assert anna.client.session.session_key != before
    assert Client(headers={"Cookie": f"openclaw_session={before}"}).get("/console/").status_code == 302
    assert anna.client.get(f"{SECURITY}totp/").status_code == 200
    assert log("identity.session.prove")[-1].details == {"factor": "password", "for": "level 1"}


def test_a_wrong_password_proves_nothing(org, person):
    anna = person(org, Role.DEVELOPER)
    age(anna, 600)
    answer = anna.post(AGAIN, password="wrong", level=1)
    assert b"The password is not right." in answer.content
    assert anna.client.get(f"{SECURITY}totp/").status_code == 302


def test_a_second_factor_is_asked_for_where_a_password_does_not_reach(org, person):
    anna = person(org, Role.DEVELOPER)
    anna.set_up_app()
    page = anna.client.get(f"{AGAIN}?level=2").content
    assert b'name="code"' in page
    assert b'name="password"' not in page
    assert anna.post(AGAIN, password=PASSWORD, level=2).status_code == 200
    assert anna.factor() == "otp"
    age(anna, 3600)
    assert anna.post(AGAIN, code=anna.code(), level=2, next="/console/").headers["Location"] == "/console/"
    assert anna.client.session["openclaw_factor"]["at"] > time.time() - 60


def test_a_fresh_password_never_lowers_a_session(org, person):
    anna = person(org, Role.DEVELOPER)
    anna.set_up_app()
    assert anna.post(AGAIN, password=PASSWORD, level=1).status_code == 200
    assert anna.factor() == "otp"


@pytest.mark.parametrize("level", ["2", "3"])
def test_who_has_no_such_factor_is_told_how_to_get_one(org, person, level):
    anna = person(org, Role.DEVELOPER)
    page = anna.client.get(f"{AGAIN}?level={level}").content.decode()
    assert "your account has none" in page
    assert (f"{SECURITY}passkeys/" if level == "3" else SECURITY) in page


@pytest.mark.parametrize("level", ["", "0", "9", "-1", "1e9", "x", "99999999999"])
def test_an_odd_level_is_a_level(org, person, level):
    assert person(org, Role.DEVELOPER).client.get(AGAIN, {"level": level}).status_code == 200


def test_the_way_on_stays_on_this_site(org, person):
    anna = person(org, Role.DEVELOPER)
    answer = anna.post(AGAIN, password=PASSWORD, level=1, next="https://evil.example/")
    assert answer.headers["Location"] == "/"


def test_it_is_for_people_who_are_signed_in(org):
    assert Client().get(AGAIN).headers["Location"].startswith(LOGIN)


def test_guessing_is_stopped(org, person):
    anna = person(org, Role.DEVELOPER)
    statuses = {anna.post(AGAIN, password="wrong", level=1).status_code for _guess in range(6)}
    assert 429 in statuses
    forget_used_codes()
