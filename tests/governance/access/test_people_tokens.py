"""What an application does for the person who authorised it: no more than the person may, judged by the same proof."""

import json
from urllib.parse import urlencode

import pytest
from django.db import transaction
from django.test import Client

from governance.access import services
from governance.audit.models import AuditEntry
from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership
from tests.factories.governance import PASSWORD, bearer_token, make_application, make_member
from tests.factories.policies import NO_BATCH
from tests.governance.access.test_granting import BACK, Granting

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

SCOPES = ["models:read", "tenant:manage", "requests:decide", "oversight:act", "platform:manage"]


class Authorised(Granting):
    """A person of a role who lets an application of the tenant act; `call` is the application's request."""

    def __init__(self, org, member, role=Role.TENANT_ADMIN):
        with platform_scope():
            made = services.create_application(
                principal=SYSTEM,
                name="administration by script",
                scopes=SCOPES,
                tenant_id=org.id,
                redirect_uris=[BACK],
                public=True,
            )
        self.application, self.secret = made.application, ""
        self.person = member(org, role)
        self.browser = Client()
        self.browser.force_login(self.person, backend="django.contrib.auth.backends.ModelBackend")

    def token(self, scope, *, factor_age_s=10, factor="otp"):
        self.age_factor(factor_age_s, factor)
        query = self.query(scope=scope)
        answer = self.browser.post(f"/o/authorize/?{urlencode(query)}", query | {"allow": "1"})
        code = answer["Location"].partition("code=")[2].partition("&")[0]
        return self.redeem(code).json()["access_token"]


def call(token, method, path, **body):
    return Client().generic(
        method.upper(),
        f"/api/v1/{path}",
        json.dumps(body) if body else "",
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
    )


def rows(**wanted):
    with platform_scope(), transaction.atomic():
        return list(AuditEntry.objects.filter(**wanted))


def new_person(token, name="dana"):
    return call(token, "post", "people/", username=name, password=PASSWORD, role="developer")


def test_an_administrators_token_administers_and_the_log_names_the_person(org, member):
    admin = Authorised(org, member)
    made = new_person(admin.token("tenant:manage"))
    assert made.status_code == 201, made.content
    with platform_scope(), transaction.atomic():
        assert Membership.objects.filter(user_id=made.json()["id"], role="developer").exists()
    (entry,) = rows(action="tenants.membership.add", decision="allow", target_id=made.json()["id"])
    assert (entry.actor_id, entry.actor_label) == (str(admin.person.pk), admin.person.username)


def test_without_the_scope_it_is_refused_and_told_which(org, member):
    refused = new_person(Authorised(org, member).token("models:read"))
    assert refused.status_code == 403
    assert "tenant:manage" in refused.json()["hint"]


def test_a_token_is_never_worth_more_than_its_person(org, member):
    token = Authorised(org, member, Role.DEVELOPER).token("tenant:manage")
    assert new_person(token).status_code == 403


def test_a_program_does_not_administer_whatever_its_role_and_scopes(org, member):
    application, secret = make_application(org, scopes=["tenant:manage"], role=Role.TENANT_ADMIN)
    refused = new_person(bearer_token(application, secret))
    assert refused.status_code == 403
    assert "authorise" in refused.json()["hint"]


def test_a_program_is_not_given_what_only_people_can_give(org, principal_for):
    from governance.errors import InvalidInput

    with pytest.raises(InvalidInput, match="requests:decide"):
        make_application(org, scopes=["models:read", "requests:decide"])


def test_a_step_up_is_asked_for_as_rfc_9470_says(org, member):
    admin = Authorised(org, member)
    old = admin.token("tenant:manage", factor_age_s=3600)
    rules = call(old, "get", "identity-policy/").json()
    refused = call(old, "put", "identity-policy/", **rules)
    assert refused.status_code == 401
    challenge = refused["WWW-Authenticate"]
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'max_age="900"' in challenge
    fresh = call(admin.token("tenant:manage"), "put", "identity-policy/", **rules)
    assert fresh.status_code == 200, fresh.content


def test_nobody_approves_the_own_request_by_token(org, member):
    author, second = Authorised(org, member), Authorised(org, member)
    first = author.token("tenant:manage")
    draft = call(first, "post", "policy-versions/", text=NO_BATCH, note="")
    assert draft.status_code == 201, draft.content
    version = f"policy-versions/{draft.json()['id']}"
    assert call(first, "post", f"{version}/propose/").status_code == 200
    again = author.token("tenant:manage")
    assert call(again, "post", f"{version}/activate/").status_code in (403, 409)
    assert call(second.token("tenant:manage"), "post", f"{version}/activate/").status_code == 200


def test_a_stop_is_pressed_by_one_and_released_by_two_others(org, member):
    presser, asker, second = (Authorised(org, member) for _ in range(3))
    pressed = call(
        presser.token("oversight:act"), "post", "stops/", scope="tenant", reason="smoke in the hall"
    )
    assert pressed.status_code == 201, pressed.content
    stop = f"stops/{pressed.json()['id']}"
    asked = call(asker.token("oversight:act"), "post", f"{stop}/ask-release/", reason="the smoke has gone")
    assert asked.status_code == 200, asked.content
    own = asker.token("requests:decide")
    assert call(own, "post", f"{stop}/release/", reason="the smoke has gone").status_code in (403, 409)
    released = call(second.token("requests:decide"), "post", f"{stop}/release/", reason="the smoke has gone")
    assert released.status_code == 200, released.content


def test_what_only_a_session_does_is_refused_to_every_token(org, member):
    token = Authorised(org, member).token(" ".join(SCOPES))
    refused = call(token, "post", "elevations/break-glass/", role="tenant_admin", reason="fire", hours=1)
    assert refused.status_code == 403
    assert not rows(action="privilege.glass.break", decision="allow")


def test_losing_the_role_ends_what_the_token_may_do(org, member):
    admin = Authorised(org, member)
    make_member(org, Role.TENANT_ADMIN)
    token = admin.token("tenant:manage")
    assert new_person(token).status_code == 201
    with platform_scope(), transaction.atomic():
        held = Membership.objects.get(user=admin.person, tenant=org)
        services.remove_membership(principal=SYSTEM, membership_id=held.pk, reason="left")
    assert new_person(token, "emil").status_code == 401
