"""Authenticator apps and recovery codes: set up, used, removed, reset; sealed for their owner, never in the log."""

from __future__ import annotations

import json
import time

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import transaction
from django.test import Client

from governance.access.principals import principal_for_user
from governance.errors import AccessDenied, Conflict, InvalidInput, NotFound, StepUpRequired
from governance.identity.mfa import Adapter, owned_by
from governance.identity.models import UserSession
from governance.identity.services import factors
from governance.keys.errors import Unsealable
from governance.principals import SYSTEM, Factor, Role, Signals
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Membership
from tests.factories.governance import PASSWORD
from tests.governance.identity.people import LOGIN, SECOND, SECURITY, codes_on, forget_used_codes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def test_an_app_is_set_up_with_its_first_code_and_comes_with_recovery_codes(org, person, log):
    anna = person(org, Role.DEVELOPER)
    anna.set_up_app()
    assert len(set(anna.codes)) == 10
    assert anna.factor() == "otp"
    assert [(e.details["kind"], e.tenant_id) for e in log("identity.factor.add")] == [
        ("totp", org.id),
        ("recovery_codes", org.id),
    ]
    assert b"set up" in anna.client.get(SECURITY).content


def test_a_wrong_first_code_sets_up_nothing(org, person):
    anna = person(org, Role.DEVELOPER)
    anna.client.get(f"{SECURITY}totp/")
    answer = anna.post(f"{SECURITY}totp/", code="000000")
    assert answer.status_code == 200
    assert codes_on(answer) == ()
    assert not Authenticator.objects.exists()


def test_secrets_are_sealed_in_the_tables_and_appear_in_no_log(org, person, log):
    anna = person(org, Role.DEVELOPER)
    anna.client.get(f"{SECURITY}totp/")
    waiting = anna.client.session["openclaw_pending_totp"]
    anna.set_up_app()
    everything = json.dumps(list(Authenticator.objects.values_list("data", flat=True)))
    everything += waiting + json.dumps([[e.reason, e.details, e.target_label] for e in log()])
    everything += "".join(Session.objects.values_list("session_data", flat=True))
    for secret in (anna.secret, *anna.codes):
        assert secret not in everything
    for row in Authenticator.objects.all():
        sealed = row.data.get("secret") or row.data["seed"]
        assert sealed.startswith(f"1.{anna.user.pk}.")


def test_a_sealed_secret_that_was_moved_to_another_person_opens_as_nothing(org, person):
    mallory, victim = person(org, Role.DEVELOPER), person(org, Role.TENANT_ADMIN)
    mallory.set_up_app()
    victim.set_up_app()
    stolen = Authenticator.objects.get(user=mallory.user, type="totp").data
    Authenticator.objects.filter(user=victim.user, type="totp").update(data=stolen)
    victim.client.logout()
    victim.sign_in()
    assert victim.post(SECOND, code=mallory.code()).status_code == 409
    assert "_auth_user_id" not in victim.client.session
    # Nor when the name before the seal is changed along with it.
    _version, _owner, blob = stolen["secret"].split(".")
    with owned_by(victim.user.pk), pytest.raises(Unsealable):
        Adapter().decrypt(f"1.{victim.user.pk}.{blob}")


@pytest.mark.parametrize("text", ["", "plain", "1.x.y", "2.a.b", "1..", "1.a.!!!"])
def test_what_is_no_sealed_secret_is_refused(text, db):
    with pytest.raises(Unsealable):
        Adapter().decrypt(text)


def test_a_secret_without_an_owner_cannot_be_sealed(db):
    with pytest.raises(RuntimeError):
        Adapter().encrypt("x")


def test_the_password_alone_no_longer_opens_the_account(org, person, log):
    anna = person(org, Role.DEVELOPER)
    anna.set_up_app()
    anna.client.logout()
    step = anna.sign_in(following="/console/skills/")
    assert step.headers["Location"] == SECOND
    assert anna.client.get("/console/").status_code == 302
    assert anna.client.get(SECOND).status_code == 200
    assert anna.post(SECOND, code="000000").status_code == 200
    (refused,) = log("identity.factor.prove")
    assert (refused.decision, refused.tenant_id) == ("deny", org.id)
    answer = anna.post(SECOND, code=anna.code())
    assert answer.headers["Location"] == "/console/skills/"
    assert anna.factor() == "otp"
    assert log("identity.session.begin")[-1].details["factor"] == "otp"


def test_a_code_works_once(org, person):
    anna = person(org, Role.DEVELOPER)
    anna.set_up_app()
    code = anna.code()
    for typed, expected in ((code, 302), (f"{code[:3]} {code[3:]}", 200)):
        client = Client()
        client.post(LOGIN, {"username": anna.user.username, "password": PASSWORD})
        assert client.post(SECOND, {"code": typed}).status_code == expected
        # The library remembers it for half a minute only, which is shorter than we take it for.
        cache.delete(f"allauth.mfa.totp.used?user={anna.user.pk}&code={code}")


def test_a_recovery_code_stands_in_and_works_once(org, person):
    anna = person(org, Role.DEVELOPER)
    anna.set_up_app()
    for expected in (302, 200):
        anna.client.logout()
        anna.sign_in()
        assert anna.post(SECOND, code=anna.codes[3]).status_code == expected
    assert Authenticator.objects.get(type="recovery_codes").data["used_mask"] == 1 << 3


def test_guessing_codes_is_stopped(org, person):
    anna = person(org, Role.DEVELOPER)
    anna.set_up_app()
    anna.client.logout()
    anna.sign_in()
    statuses = [anna.post(SECOND, code=f"{guess:06}").status_code for guess in range(6)]
    assert statuses[-2:] == [429, 200] or 429 in statuses
    assert anna.post(SECOND, code=anna.secret and anna.codes[0]).status_code != 302
    forget_used_codes()


def test_new_recovery_codes_replace_the_old_ones_and_are_shown_once(org, person, log):
    anna = person(org, Role.DEVELOPER)
    anna.set_up_app()
    answer = anna.post(f"{SECURITY}recovery-codes/")
    fresh = codes_on(answer)
    assert len(fresh) == 10
    assert not set(fresh) & set(anna.codes)
    assert fresh[0].encode() not in anna.client.get(SECURITY).content
    anna.client.logout()
    anna.sign_in()
    assert anna.post(SECOND, code=anna.codes[0]).status_code == 200
    assert anna.post(SECOND, code=fresh[0]).status_code == 302


def test_removing_the_last_one_takes_the_recovery_codes_along(org, person, log):
    anna = person(org, Role.DEVELOPER)
    anna.set_up_app()
    app = Authenticator.objects.get(type="totp")
    assert anna.post(f"{SECURITY}factors/{app.pk}/remove/").status_code == 302
    assert not Authenticator.objects.exists()
    assert [e.details["kind"] for e in log("identity.factor.remove")] == ["totp", "recovery_codes"]


def test_changing_factors_needs_a_fresh_proof(org, person):
    anna = person(org, Role.DEVELOPER)
    stale = principal_for_user(
        anna.user, tenant_id=org.id, signals=Signals(Factor.PASSKEY, factor_at=time.time() - 301)
    )
    with tenant_context(org.id), transaction.atomic(), pytest.raises(StepUpRequired) as asked:
        factors.add_totp(principal=stale, user=anna.user, secret="A" * 32)
    assert (asked.value.decision.step_up.level, asked.value.decision.step_up.max_age_s) == (1, 300)
    assert not Authenticator.objects.exists()


def test_nobody_changes_the_factors_of_somebody_else(org, person, sign_in_principal):
    anna, other = person(org, Role.DEVELOPER), person(org, Role.DEVELOPER)
    anna.set_up_app()
    app = Authenticator.objects.get(type="totp")
    assert other.post(f"{SECURITY}factors/{app.pk}/remove/").status_code == 404
    assert other.post(f"{SECURITY}factors/{app.pk}/rename/", name="mine").status_code == 404
    with tenant_context(org.id), transaction.atomic(), pytest.raises(NotFound):
        factors.remove(principal=sign_in_principal(other.user, org), user=anna.user, factor_id=app.pk)
    assert Authenticator.objects.filter(pk=app.pk).exists()


class TestReset:
    """An administrator takes lost factors away."""

    def test_it_takes_all_away_ends_every_session_and_leaves_two_entries(
        self, org, person, sign_in_principal, log, everything
    ):
        anna, admin = person(org, Role.DEVELOPER), person(org, Role.TENANT_ADMIN)
        anna.set_up_app()
        answer = admin.post(f"/console/identity/people/{anna.user.pk}/reset/", reason="phone lost")
        assert answer.status_code == 302
        assert not Authenticator.objects.exists()
        assert anna.client.get("/console/").status_code == 302
        (reset,), (ended,) = log("identity.factor.reset"), log("identity.session.end-all")
        assert (reset.reason, reset.tenant_id, reset.actor_id) == ("phone lost", org.id, str(admin.user.pk))
        assert reset.details["kinds"] == ["recovery_codes", "totp"]
        assert ended.details["sessions"] == 1
        assert anna.sign_in().headers["Location"] == "/"

    def test_it_needs_a_reason_and_the_right(self, org, other_org, person, sign_in_principal):
        anna, admin = person(org, Role.DEVELOPER), person(org, Role.TENANT_ADMIN)
        boss = sign_in_principal(admin.user, org)
        with tenant_context(org.id), transaction.atomic(), pytest.raises(InvalidInput):
            factors.reset(principal=boss, user_id=anna.user.pk, tenant_id=org.id, reason=" ")
        with tenant_context(org.id), transaction.atomic(), pytest.raises(AccessDenied):
            factors.reset(
                principal=sign_in_principal(anna.user, org),
                user_id=admin.user.pk,
                tenant_id=org.id,
                reason="x",
            )
        stranger = person(other_org, Role.DEVELOPER)
        with tenant_context(org.id), transaction.atomic(), pytest.raises(NotFound):
            factors.reset(principal=boss, user_id=stranger.user.pk, tenant_id=org.id, reason="x")

    def test_an_account_of_two_organisations_is_the_platforms_to_reset(
        self, org, other_org, person, sign_in_principal
    ):
        anna, admin = person(org, Role.DEVELOPER), person(org, Role.TENANT_ADMIN)
        anna.set_up_app()
        with platform_scope(), transaction.atomic():
            Membership.objects.create(user=anna.user, tenant=other_org, role=Role.DEVELOPER)
        boss = sign_in_principal(admin.user, org)
        with tenant_context(org.id), transaction.atomic(), pytest.raises(Conflict) as refused:
            factors.reset(principal=boss, user_id=anna.user.pk, tenant_id=org.id, reason="x")
        assert "Plant" not in str(refused.value)
        with platform_scope():
            assert factors.reset(principal=SYSTEM, user_id=anna.user.pk, tenant_id=org.id, reason="x") == 2


def test_signing_in_with_another_factor_does_not_leave_the_old_session(org, person, everything):
    anna = person(org, Role.DEVELOPER)
    anna.set_up_app()
    assert [row.factor for row in everything(UserSession)] == ["otp"]
