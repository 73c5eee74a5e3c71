"""How long an answer is believed: until the announcement, the clock, or the decision says otherwise."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.db import transaction
from django.test import RequestFactory

from governance.access import standing as standings
from governance.access.decisions import decide
from governance.access.hub import hub
from governance.access.middleware import find_principal
from governance.access.standing import REFUSED, STANDS, Standing, credential_of, with_session
from governance.identity import care
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey", "platform")]

ACTION = "events.event.view"


@pytest.fixture
def standing(cookie):
    """The standing of the person's session, to which nobody announces anything."""
    _name, value = cookie
    credential = credential_of(RequestFactory().get("/", headers={"cookie": value.decode()}))
    found = find_principal(with_session(credential.request, credential.session_key))
    made = Standing(found, credential, lambda who: decide(who, ACTION, tenant_id=who.tenant_id))
    yield made
    made.close()


def remove_role(admin) -> None:
    with platform_scope(), transaction.atomic():
        Membership.objects.filter(user=admin).delete()


def end_role(admin, at: float) -> None:
    with platform_scope(), transaction.atomic():
        Membership.objects.filter(user=admin).update(expires_at=datetime.fromtimestamp(at, UTC))


def end_session_by_itself(admin, at: float) -> None:
    row = Session.objects.get()
    data = row.get_decoded()
    data[care.KEY] |= {"session_s": at - data[care.KEY]["began"]}
    row.session_data = Session.get_session_store_class()().encode(data)
    row.save()


@pytest.mark.parametrize("end", [end_role, end_session_by_itself])
def test_what_ends_by_the_clock_needs_no_announcement_and_no_worker(end, standing, admin, monkeypatch):
    """Neither Celery nor the channel says a word here, and a remembered answer would be believed for a minute."""
    monkeypatch.setattr("governance.access.hub.Hub.max_age_s", 60.0)
    at = time.time() + 30
    end(admin, at)
    assert standing.ask() == STANDS
    assert standing._until == pytest.approx(at, abs=0.01)
    assert 0 < standing.rest_s <= 30
    end(admin, time.time() - 1)
    monkeypatch.setattr(standing, "_until", time.time() - 1)  # half a minute later
    assert standing.rest_s == 0
    assert standing.ask() == REFUSED


def test_a_session_that_owes_a_second_factor_opens_nothing_more(standing):
    assert standing.ask() == STANDS
    row = Session.objects.get()
    data = row.get_decoded()
    data[care.KEY]["setup"] = True
    row.session_data = Session.get_session_store_class()().encode(data)
    row.save()
    assert standing.ask() == REFUSED


async def test_a_download_ends_in_the_middle(admin, org):
    from governance.access.principals import principal_for_user

    principal = await sync_to_async(principal_for_user)(admin, tenant_id=org.id)
    standing = Standing(principal, None, lambda found: decide(found, ACTION, tenant_id=found.tenant_id))
    assert await standing.check() == STANDS

    async def pieces():
        for number in range(5):
            if number == 2:
                await sync_to_async(remove_role)(admin)
                hub.dispatch("membership", str(admin.id))
            yield b"%d" % number

    assert [piece async for piece in standing.while_it_stands(pieces())] == [b"0", b"1"]
    assert standing._heard not in hub._subscribers


@pytest.mark.parametrize(
    ("topic", "key", "concerned"),
    [
        ("*", "", True),
        ("policy", "", True),
        ("membership", "u", True),
        ("membership", "x", False),
        ("grant", "u", True),
        ("tenant", "t", True),
        ("tenant", "x", False),
        ("application", "x", False),
        ("token", "x", False),
        ("event", "x", False),
        ("a topic of a later version", "x", False),
    ],
)
def test_who_is_concerned(topic, key, concerned):
    principal = SimpleNamespace(user_id="u", accountable_user_id="u", tenant_id="t", scopes=None)
    standing = Standing(principal, None, lambda _principal: None)
    try:
        assert standing.concerns(topic, key) is concerned
    finally:
        standing.close()


def test_an_answer_is_believed_no_longer_than_the_decision_says(monkeypatch):
    principal = SimpleNamespace(
        kind="system", tenant_id=None, platform=True, scopes=None, is_authenticated=True
    )
    monkeypatch.setattr(standings, "principal_now", lambda found, _credential: (found, float("inf")))
    decision = SimpleNamespace(allow=True, obligations=(), valid_until=time.time() + 0.2)
    standing = Standing(principal, None, lambda _principal: decision)
    try:
        assert standing.rest_s == 0
        assert standing.ask() == STANDS
        assert 0 < standing.rest_s <= 0.2
    finally:
        standing.close()
