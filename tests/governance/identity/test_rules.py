"""A tenant's rules of sign-in: a demanded second factor leads to set-up and nowhere else, and locks nobody out."""

from __future__ import annotations

import pytest
from django.db import transaction

from governance.errors import AccessDenied, Conflict, InvalidInput
from governance.identity.models import IdentityPolicy
from governance.identity.selectors import Rules, rules_for
from governance.identity.services import factors, policy
from governance.principals import Factor, Role
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Membership
from tests.governance.identity.people import SECURITY

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

DUE = f"{SECURITY}due/"


def demand(tenant, *roles: Role, session_hours: int = 8, idle_minutes: int = 30) -> None:
    with platform_scope(), transaction.atomic():
        IdentityPolicy.objects.update_or_create(
            tenant=tenant,
            defaults={
                "second_factor_roles": [role.value for role in roles],
                "session_hours": session_hours,
                "idle_minutes": idle_minutes,
            },
        )


def test_without_rules_nothing_is_demanded(org, person):
    anna = person(org, Role.TENANT_ADMIN)
    assert rules_for(anna.user) == Rules(8 * 3600, 30 * 60, False)
    assert anna.client.get("/console/").status_code == 200


def test_a_demanded_second_factor_leads_to_setting_one_up_and_then_on(org, person, log):
    demand(org, Role.TENANT_ADMIN)
    anna = person(org, Role.TENANT_ADMIN)
    for path in ("/console/", "/console/identity/people/", SECURITY, "/applications/", "/"):
        assert anna.client.get(path).headers["Location"] == DUE, path
    refused = anna.client.get("/api/v1/me/")
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:openclaw:problem:second-factor-due")
    assert anna.post("/accounts/tenant/", tenant=str(org.id)).headers["Location"] == DUE
    page = anna.client.get(DUE)
    assert b"Your organisation demands a second factor" in page.content
    assert log("identity.session.begin")[-1].details["second_factor_due"] is True
    anna.set_up_app()
    assert anna.client.get("/console/").status_code == 200
    assert anna.client.get(DUE).headers["Location"] == SECURITY


def test_it_is_demanded_of_the_named_roles_only(org, person):
    demand(org, Role.TENANT_ADMIN)
    assert person(org, Role.DEVELOPER).client.get("/console/").status_code == 200


def test_who_has_one_already_notices_nothing(org, person):
    anna = person(org, Role.TENANT_ADMIN)
    anna.set_up_app()
    demand(org, Role.TENANT_ADMIN)
    anna.client.logout()
    anna.sign_in()
    assert anna.post("/accounts/second-factor/", code=anna.code()).status_code == 302
    assert anna.client.get("/console/").status_code == 200


def test_signing_out_is_always_possible(org, person):
    demand(org, Role.TENANT_ADMIN)
    assert person(org, Role.TENANT_ADMIN).post("/accounts/logout/").status_code == 302


def test_the_last_one_cannot_be_removed_while_it_is_demanded(org, person, sign_in_principal):
    anna = person(org, Role.TENANT_ADMIN)
    anna.set_up_app()
    demand(org, Role.TENANT_ADMIN)
    from allauth.mfa.models import Authenticator

    app = Authenticator.objects.get(type="totp")
    with tenant_context(org.id), transaction.atomic(), pytest.raises(Conflict):
        factors.remove(principal=sign_in_principal(anna.user, org), user=anna.user, factor_id=app.pk)
    assert Authenticator.objects.filter(pk=app.pk).exists()


def test_of_several_tenants_the_strictest_word_counts(org, other_org, person):
    anna = person(org, Role.DEVELOPER)
    with platform_scope(), transaction.atomic():
        Membership.objects.create(user=anna.user, tenant=other_org, role=Role.TENANT_ADMIN)
    demand(org, session_hours=4, idle_minutes=60)
    demand(other_org, Role.TENANT_ADMIN, session_hours=10, idle_minutes=10)
    rules = rules_for(anna.user)
    assert rules == Rules(4 * 3600, 600, True)
    assert not rules.satisfied_by(Factor.PASSWORD)
    assert not rules.satisfied_by(Factor.FEDERATED)
    assert rules.satisfied_by(Factor.OTP)


class TestChanging:
    """By administrators, checked and recorded."""

    def test_from_the_console(self, org, person, log):
        admin = person(org, Role.TENANT_ADMIN)
        page = admin.client.get("/console/identity/rules/")
        assert b'name="idle_minutes"' in page.content
        answer = admin.post(
            "/console/identity/rules/", second_factor_roles="developer", session_hours=6, idle_minutes=15
        )
        assert answer.status_code == 302
        (entry,) = log("identity.policy.set")
        assert entry.details == {
            "second_factor_roles": ["developer"],
            "session_hours": 6,
            "idle_minutes": 15,
        }

    @pytest.mark.parametrize(
        "change",
        [
            {"session_hours": 0},
            {"session_hours": 25},
            {"idle_minutes": 4},
            {"idle_minutes": 1000},
            {"second_factor_roles": ["platform_admin"]},
            {"second_factor_roles": ["service"]},
            {"second_factor_roles": ["nonsense"]},
        ],
    )
    def test_what_cannot_hold_is_refused_and_changes_nothing(
        self, org, person, sign_in_principal, everything, change
    ):
        admin = person(org, Role.TENANT_ADMIN)
        wanted = {"second_factor_roles": [], "session_hours": 8, "idle_minutes": 30} | change
        with tenant_context(org.id), pytest.raises(InvalidInput), transaction.atomic():
            policy.set_policy(principal=sign_in_principal(admin.user, org), tenant_id=org.id, **wanted)
        assert everything(IdentityPolicy) == []

    def test_not_by_others(self, org, other_org, person, sign_in_principal):
        for who in (person(org, Role.DEVELOPER), person(other_org, Role.TENANT_ADMIN)):
            tenant = org if who.user.username.startswith("developer") else other_org
            with tenant_context(tenant.id), transaction.atomic(), pytest.raises(AccessDenied):
                policy.set_policy(
                    principal=sign_in_principal(who.user, tenant),
                    tenant_id=org.id,
                    second_factor_roles=[],
                    session_hours=8,
                    idle_minutes=30,
                )
