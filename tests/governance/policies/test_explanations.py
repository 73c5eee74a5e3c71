"""Why something was refused: the rule in words, what is missing, and who can help."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import transaction

from governance.access.decisions import decide, require, require_obligations
from governance.access.recorder import Recorded
from governance.access.services import record_refusal
from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, ObligationUnmet
from governance.policies.explanations import explain
from governance.policies.models import DecisionRecord
from governance.policies.records import _row
from governance.policies.refusals import Refusal
from governance.principals import Factor, Role, Signals
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership
from tests.factories.governance import make_member
from tests.factories.policies import NO_BATCH, acting, enact_policies

pytestmark = [pytest.mark.django_db(transaction=True)]


def refusal_of(principal, action, target=None, **more) -> Refusal:
    decision = decide(principal, action, target, **more)
    assert not decision.allow
    row = _row(Recorded("key", decision, {}, 1, 1e9, 1e9))
    row["tenant_id"] = decision.tenant_id
    del row["id"], row["bucket"]
    return Refusal.of_record(DecisionRecord(**row))


def explained(viewer, refusal):
    with acting(viewer):
        return explain(viewer, refusal)


def test_a_missing_role_names_the_roles_and_the_people_who_have_one(org, author, second, principal_for):
    make_member(org, Role.TENANT_ADMIN, username="anna")
    developer = principal_for(org, Role.DEVELOPER)
    refusal = refusal_of(developer, "policies.version.draft")
    found = explained(author, refusal)
    assert [cause.rule for cause in found.causes] == ["none"]
    assert found.missing == (
        "One of the roles Platform administrator, Tenant administrator in this organisation.",
    )
    assert {"anna", author.label, second.label} == set(found.help.people)
    assert explained(developer, refusal).help.people == ()
    assert explained(developer, refusal).help.roles == ("Platform administrator", "Tenant administrator")


def test_people_of_other_tenants_disabled_ones_and_the_refused_are_not_named(
    org, other_org, author, member, principal_for
):
    make_member(other_org, Role.TENANT_ADMIN, username="elsewhere")
    gone = make_member(org, Role.TENANT_ADMIN, username="gone")
    gone.is_active = False
    gone.save()
    with acting(author):
        Membership.objects.filter(user_id=author.user_id).update(role=Role.DEVELOPER)
    last = principal_for(org, Role.TENANT_ADMIN)
    found = explained(last, refusal_of(principal_for(org, Role.DEVELOPER), "policies.version.draft"))
    assert found.help.people == (last.label,)


def test_a_missing_grant_and_a_missing_scope(org, author, principal_for):
    service = replace(principal_for(org, Role.SERVICE), kind="client", scopes=frozenset({"models:infer"}))
    by_grant = refusal_of(
        replace(service, scopes=frozenset({"batch:write"})),
        "serving.batch.create",
        ObjectRef("rollouts.endpoint", "1"),
    )
    assert any("on this very object" in line for line in explained(author, by_grant).missing)
    by_scope = explained(author, refusal_of(service, "policies.version.view"))
    assert by_scope.causes[0].sentence == "The access token does not reach this far."
    assert by_scope.missing[0] == "An access token with the scope audit:read, tenant:manage."
    personal = explained(author, refusal_of(service, "tenants.membership.view"))
    assert personal.missing[0] == "An access token with the scope tenant:manage that a person has authorised."
    never = explained(author, refusal_of(service, "site.console.open"))
    assert "no access token may do this" in never.missing[0]


def test_a_product_rule_shows_its_text_and_the_proof_that_is_missing(author):
    unproven = replace(author, signals=Signals())
    found = explained(author, refusal_of(unproven, "policies.version.draft"))
    assert found.causes[0].origin == "the product"
    assert "principal.assurance" in found.causes[0].text
    assert "A proof of identity with one factor." in found.missing
    assert found.step_up == 1
    assert unproven.signals.factor is Factor.NONE


def test_ones_own_request_names_the_others(author, second):
    found = explained(
        author,
        refusal_of(
            author, "policies.version.activate", context={"requested_by": str(author.accountable_user_id)}
        ),
    )
    assert "somebody else must decide" in found.causes[0].sentence
    assert found.help.people == (second.label,)


def test_a_tenants_own_policy_is_read_by_those_who_may(org, author, second, principal_for):
    enact_policies(author, second)
    scientist = principal_for(org, Role.DATA_SCIENTIST)
    with pytest.raises(AccessDenied):
        require(scientist, "serving.batch.create")
    refusal = refusal_of(scientist, "serving.batch.create")
    found = explained(author, refusal)
    assert "forbid" in found.causes[0].text
    # The policy is about everybody, so what helps is another policy.
    assert (found.help.people, set(found.help.changers)) == ((), {author.label, second.label})
    mine = explained(scientist, refusal)
    assert mine.causes[0].sentence == "Batch jobs wait until the bank has decided about them."
    assert mine.causes[0].text == ""
    assert mine.missing == ("Ask the data office.",)
    assert mine.help.roles == mine.help.changers == ()
    # It is still explained when the policy has gone.
    enact_policies(second, author, NO_BATCH.replace("no-batch", "other").replace("create", "cancel"))
    assert explained(author, refusal).causes[0].origin == "your organisation, Version 1"


def test_a_condition_an_unknown_action_and_a_failed_policy_have_words_too(author):
    def of(action, rules, reasons=("Stopped.",)):
        return Refusal(author.tenant_id, author.id, action, rules, reasons, ("Ask the operator.",), None, {})

    condition = explained(author, of("audit.entry.view", ("stop.endpoint",)))
    assert (condition.causes[0].sentence, condition.missing) == ("Stopped.", ("Ask the operator.",))
    assert "to anybody" in explained(author, of("no.such.action", ("none",))).causes[0].sentence
    assert (
        "could not be evaluated"
        in explained(author, of("audit.entry.view", ("policy-error",))).causes[0].sentence
    )
    assert explained(author, of("audit.entry.view", ())).causes[0].sentence == "Stopped."


def kept(denied: AccessDenied, org) -> Refusal:
    record_refusal(denied)
    with platform_scope(), transaction.atomic():
        return Refusal.of_entry(AuditEntry.objects.get(tenant_id=org.id, decision="deny"))


def test_a_duty_that_was_not_fulfilled_is_the_reason_and_not_the_right_that_was_there(org, author):
    allowed = replace(decide(author, "policies.version.draft"), obligations=("traffic_share_at_most:20",))
    assert allowed.allow
    with pytest.raises(ObligationUnmet) as unmet:
        require_obligations(allowed, fulfilled=frozenset())
    refusal = kept(unmet.value, org)
    assert refusal.rules == ("obligation-unmet",)
    assert "traffic_share_at_most:20" in refusal.reasons[0]
    assert "role" not in refusal.reasons[0]
    found = explained(author, refusal)
    assert "traffic_share_at_most:20" in found.causes[0].sentence
    assert any("traffic_share_at_most:20" in line for line in found.missing)
    assert any("fulfil the condition" in line for line in found.missing)


def test_what_a_service_refuses_after_a_yes_is_told_in_its_words(org, author):
    allowed = decide(author, "privilege.glass.break")
    assert allowed.allow
    refusal = kept(AccessDenied("You are not named here.", decision=allowed, hint="Be named."), org)
    assert (refusal.reasons, refusal.helps) == (("You are not named here.",), ("Be named.",))
    found = explained(author, refusal)
    assert found.causes[0].sentence == "You are not named here."
    assert found.missing == ("Be named.",)
