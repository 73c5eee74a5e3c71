"""Sessions: seen and ended by their owner and by administrators, over after rest or age, and nobody else's business."""

from __future__ import annotations

import time
from datetime import timedelta

import psycopg
import pytest
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from governance.errors import AccessDenied, NotFound
from governance.identity import care as cares
from governance.identity.care import Care, program_of
from governance.identity.models import UserSession
from governance.identity.services import sessions
from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Membership
from tests.factories.governance import PASSWORD
from tests.governance.identity.people import LOGIN, SECURITY

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def wind(person, **changes) -> Care:
    """Change what the session remembers of itself, as if time had passed."""
    session = person.client.session
    session[cares.KEY] = session[cares.KEY] | changes
    session.save()
    return cares.read(session)


def second_browser(person) -> Client:
    other = Client(headers={"User-Agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X) Version/18 Safari/605"})
    other.post(LOGIN, {"username": person.user.username, "password": PASSWORD})
    return other


def test_one_sees_the_own_sessions_and_ends_one(org, person, log):
    anna = person(org, Role.DEVELOPER)
    elsewhere = second_browser(anna)
    page = anna.client.get(SECURITY).content.decode()
    assert "Safari, macOS" in page
    assert "this one" in page
    other = cares.read(elsewhere.session).session_id
    assert anna.post(f"{SECURITY}sessions/{other}/end/").headers["Location"] == SECURITY
    assert elsewhere.get("/console/").status_code == 302
    assert anna.client.get("/console/").status_code == 200
    assert log("identity.session.end")[-1].reason == "ended by its owner"


def test_ending_the_present_session_signs_out(org, person):
    anna = person(org, Role.DEVELOPER)
    own = cares.read(anna.client.session).session_id
    assert anna.post(f"{SECURITY}sessions/{own}/end/").headers["Location"] == LOGIN
    assert anna.client.get("/console/").status_code == 302


def test_all_others_end_at_once(org, person):
    anna = person(org, Role.DEVELOPER)
    others = [second_browser(anna), second_browser(anna)]
    anna.post(f"{SECURITY}sessions/end/")
    assert [client.get("/console/").status_code for client in (anna.client, *others)] == [200, 302, 302]


def test_nobody_ends_a_strangers_session_as_the_own(org, person):
    anna, other = person(org, Role.DEVELOPER), person(org, Role.DEVELOPER)
    theirs = cares.read(other.client.session).session_id
    assert anna.post(f"{SECURITY}sessions/{theirs}/end/").status_code == 404
    assert other.client.get("/console/").status_code == 200


def test_an_administrator_ends_a_session_of_the_own_tenant(org, person, log):
    anna, admin = person(org, Role.DEVELOPER), person(org, Role.TENANT_ADMIN)
    assert anna.user.username in admin.client.get("/console/identity/sessions/").content.decode()
    theirs = cares.read(anna.client.session).session_id
    assert admin.post(f"/console/identity/sessions/{theirs}/end/").status_code == 302
    assert anna.client.get("/console/").status_code == 302
    entry = log("identity.session.end")[-1]
    assert (entry.actor_id, entry.tenant_id) == (str(admin.user.pk), org.id)


def test_another_tenants_administrator_neither_sees_nor_ends_it(org, other_org, person):
    anna, stranger = person(org, Role.DEVELOPER), person(other_org, Role.TENANT_ADMIN)
    theirs = cares.read(anna.client.session).session_id
    assert anna.user.username not in stranger.client.get("/console/identity/sessions/").content.decode()
    assert stranger.post(f"/console/identity/sessions/{theirs}/end/").status_code == 404
    assert stranger.post(f"/console/identity/people/{anna.user.pk}/end-sessions/").status_code == 404
    assert anna.client.get("/console/").status_code == 200


def test_a_session_is_seen_where_it_works(org, other_org, person):
    """Of somebody who works for two tenants, each sees only the sessions that are theirs at the moment."""
    anna = person(org, Role.DEVELOPER)
    with platform_scope(), transaction.atomic():
        Membership.objects.create(user=anna.user, tenant=other_org, role=Role.DEVELOPER)
    anna.post("/accounts/tenant/", tenant=str(other_org.id))
    wind(anna, seen=time.time() - 120)
    anna.client.get("/console/")
    for tenant, count in ((org, 0), (other_org, 1)):
        with tenant_context(tenant.id), transaction.atomic():
            assert UserSession.open.filter(user=anna.user).count() == count


def test_ending_needs_the_right(org, person, sign_in_principal):
    anna, other = person(org, Role.DEVELOPER), person(org, Role.DEVELOPER)
    theirs = cares.read(other.client.session).session_id
    with tenant_context(org.id), transaction.atomic(), pytest.raises(AccessDenied):
        sessions.end(principal=sign_in_principal(anna.user, org), session_id=theirs, reason="")
    with tenant_context(org.id), transaction.atomic(), pytest.raises(AccessDenied):
        sessions.end_of_person(
            principal=sign_in_principal(anna.user, org), user_id=other.user.pk, tenant_id=org.id, reason=""
        )


def test_an_ended_session_cannot_be_ended_again(org, person, sign_in_principal):
    anna, admin = person(org, Role.DEVELOPER), person(org, Role.TENANT_ADMIN)
    theirs = cares.read(anna.client.session).session_id
    boss = sign_in_principal(admin.user, org)
    with tenant_context(org.id), transaction.atomic():
        sessions.end(principal=boss, session_id=theirs, reason="")
    with tenant_context(org.id), transaction.atomic(), pytest.raises(NotFound):
        sessions.end(principal=boss, session_id=theirs, reason="")


def test_the_end_is_announced_by_the_digest_of_the_key(org, person, everything):
    anna = person(org, Role.DEVELOPER)
    (row,) = everything(UserSession)
    with psycopg.connect(**_dsn(), autocommit=True) as listener:
        listener.execute("LISTEN openclaw")
        sessions.end_everywhere(
            principal=SYSTEM,
            user_id=anna.user.pk,
            reason="test",
        )
        heard = [note.payload for note in listener.notifies(timeout=1, stop_after=1)]
    assert f"session:{row.key_digest}" in heard


def _dsn():
    from governance.access.hub import site_connection

    connection.ensure_connection()
    return dict(site_connection())


class TestAutomaticLogoff:
    """45 CFR 164.312(a)(2)(iii)."""

    def test_a_session_ends_after_rest(self, org, person, log, everything):
        anna = person(org, Role.DEVELOPER)
        wind(anna, seen=time.time() - 30 * 60 - 1)
        answer = anna.client.get("/console/", follow=True)
        assert answer.redirect_chain[-1][0] == f"{LOGIN}?next=/console/"
        assert b"You were signed out because" in answer.content
        assert log("identity.session.end")[-1].reason == sessions.OVER
        assert everything(UserSession)[0].ended_at is not None

    def test_and_at_its_longest_even_when_it_is_used(self, org, person, log):
        anna = person(org, Role.DEVELOPER)
        wind(anna, began=time.time() - 8 * 3600 - 1)
        assert anna.client.get("/console/").status_code == 302
        assert log("identity.session.end")[-1].reason == sessions.OVER

    def test_it_ends_without_a_further_request_and_the_next_one_is_told_why(self, org, person, log):
        anna, other = person(org, Role.DEVELOPER), person(org, Role.DEVELOPER)
        with platform_scope(), transaction.atomic():
            UserSession.objects.filter(user=anna.user).update(valid_until=timezone.now())
        assert sessions.end_over() == 1
        assert log("identity.session.end")[-1].actor_kind == "system"
        answer = anna.client.get("/console/", follow=True)
        assert answer.redirect_chain[-1][0] == f"{LOGIN}?next=/console/"
        assert b"You were signed out because" in answer.content
        assert b"You were signed out because" not in anna.client.get(LOGIN).content
        assert other.client.get("/console/").status_code == 200

    def test_the_api_refuses_an_old_session(self, org, person):
        anna = person(org, Role.DEVELOPER)
        wind(anna, seen=time.time() - 3600)
        assert anna.client.get("/api/v1/me/").status_code == 401

    def test_use_is_written_down_once_a_minute(self, org, person, everything):
        anna = person(org, Role.DEVELOPER)
        began = everything(UserSession)[0].last_seen_at
        anna.client.get("/console/")
        assert everything(UserSession)[0].last_seen_at == began
        wind(anna, seen=time.time() - 61)
        anna.client.get("/console/")
        row = everything(UserSession)[0]
        assert row.last_seen_at > began
        assert row.valid_until == row.last_seen_at + timedelta(minutes=30)

    def test_a_page_that_refreshes_itself_is_no_activity(self, org, person):
        anna = person(org, Role.DEVELOPER)
        before = wind(anna, seen=time.time() - 1700)
        anna.client.get("/console/house/", headers={"HX-Request": "true"})
        assert cares.read(anna.client.session).seen == before.seen
        anna.client.get("/console/")
        assert cares.read(anna.client.session).seen > before.seen

    def test_a_stricter_rule_reaches_open_sessions(self, org, person, sign_in_principal):
        from governance.identity.services.policy import set_policy

        anna, admin = person(org, Role.DEVELOPER), person(org, Role.TENANT_ADMIN)
        with tenant_context(org.id), transaction.atomic():
            set_policy(
                principal=sign_in_principal(admin.user, org),
                tenant_id=org.id,
                second_factor_roles=[],
                session_hours=1,
                idle_minutes=5,
            )
        wind(anna, seen=time.time() - 120, began=time.time() - 2 * 3600)
        assert anna.client.get("/console/").status_code == 302

    def test_a_session_that_was_ended_in_the_table_alone_is_over_at_its_next_use(self, org, person):
        anna = person(org, Role.DEVELOPER)
        with platform_scope(), transaction.atomic():
            UserSession.objects.update(ended_at=timezone.now())
        wind(anna, seen=time.time() - 61)
        assert anna.client.get("/console/").status_code == 302


@given(
    began=st.floats(0, 1e6),
    rest=st.floats(0, 1e5),
    idle_s=st.integers(300, 14_400),
    session_s=st.integers(3_600, 86_400),
    later=st.floats(0, 1e6),
)
def test_a_session_never_outlives_its_limits(began, rest, idle_s, session_s, later):
    care = Care("x", began, began + rest, idle_s, session_s)
    now = began + rest + later
    if now - care.seen >= idle_s or now - began >= session_s:
        assert care.over(now)
    assert care.due(care.seen + 60)
    assert not care.due(care.seen)


@given(st.text(max_size=400))
def test_whatever_a_program_calls_itself_fits_and_says_little(name):
    assert len(program_of(name)) <= 80


def test_old_sessions_are_forgotten(org, person, everything):
    person(org, Role.DEVELOPER)
    kept = person(org, Role.DEVELOPER)
    with platform_scope(), transaction.atomic():
        UserSession.objects.exclude(user=kept.user).update(ended_at=timezone.now() - timedelta(days=91))
    Session.objects.create(
        session_key="x" * 40, session_data="", expire_date=timezone.now() - timedelta(days=1)
    )
    assert sessions.drop_old() == 1
    assert [row.user_id for row in everything(UserSession)] == [kept.user.pk]
    assert not Session.objects.filter(session_key="x" * 40).exists()
