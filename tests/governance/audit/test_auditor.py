"""The auditor sees the log and nothing else of anybody's."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.test import Client

from governance.access.decisions import registered_actions
from governance.access.services import record_refusal
from governance.decision import Decision
from governance.errors import AccessDenied
from governance.policies.selectors import refused_entry
from governance.principals import Role
from governance.tenants.context import platform_scope

LOG = {"audit.entry.view", "audit.entry.export", "audit.chain.view", "audit.chain.verify"}
# What everybody who signs in has: the frame of the console, one's own account, and why oneself was refused.
OWN = {
    "access.principal.view",
    "access.device.register",
    "access.device.view",
    "access.token.authorize",
    "site.console.open",
    "identity.account.view",
    "identity.factor.manage",
    "identity.own-session.end",
    "policies.decision.explain",
}
# Why something was decided about others.
WHY = ("policies.version.view", "policies.decision.view")


def test_the_auditor_may_exactly_this():
    opened = {action for action, rule in registered_actions().items() if Role.AUDITOR in rule.roles}
    assert opened == LOG | OWN


@pytest.mark.parametrize("action", sorted(LOG))
def test_nothing_of_it_changes_anything(action):
    changing = {"administer", "approve", "invoke", "read_data", "move_data", "release"}
    assert not changing & set(registered_actions()[action].groups)


def test_those_who_answer_for_a_decision_see_why():
    for action in WHY:
        assert registered_actions()[action].roles == {Role.PLATFORM_ADMIN, Role.TENANT_ADMIN}


@pytest.fixture
def browser(platform, member):
    person = member(platform, Role.AUDITOR)
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def refused(principal):
    record_refusal(
        AccessDenied("", decision=Decision(False, "test.thing", ("no",), principal, rules=("none",)))
    )
    with platform_scope(), transaction.atomic():
        return refused_entry(principal)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("valkey")
class TestPages:
    def test_the_console_begins_with_the_log(self, browser):
        assert browser.get("/", follow=True).redirect_chain[-1] == ("/console/audit/log/", 302)
        assert browser.get("/console/house/").status_code == 403
        page = browser.get("/console/audit/log/").content.decode()
        for away in ("State of the house", '"/console/policies/"', "/console/identity/people/"):
            assert away not in page

    @pytest.mark.parametrize(
        "address",
        ["/console/policies/", "/console/policies/shipped/", "/api/v1/policy-versions/", "/api/v1/models/"],
    )
    def test_the_rules_are_not_part_of_the_log(self, browser, address):
        assert browser.get(address).status_code == 403

    def test_somebody_elses_refusal_is_an_entry_and_not_a_question(
        self, browser, org, platform, principal_for
    ):
        theirs = refused(principal_for(org, Role.DEVELOPER))
        page = browser.get("/console/audit/log/").content.decode()
        assert "test.thing" in page
        assert f"/console/policies/why/audit/{theirs.pk}/" not in page
        assert browser.get(f"/console/policies/why/audit/{theirs.pk}/").status_code == 404
        assert browser.get("/api/v1/decisions/").json()["results"] == []

    def test_ones_own_refusal_is_explained(self, browser):
        assert browser.get("/console/policies/").status_code == 403
        page = browser.get("/console/audit/log/", {"decision": "deny"}).content.decode()
        (address,) = {
            part.partition('"')[0] for part in page.split('href="') if "/policies/why/audit/" in part[:60]
        }
        assert browser.get(address).status_code == 200
