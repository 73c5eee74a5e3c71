"""Policies narrow what roles allow, name themselves in a refusal, and never fail open."""

from __future__ import annotations

import time
from dataclasses import replace

import cedarpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.access import conditions, decisions, facts
from governance.access.cedar import source
from governance.access.cedar.engine import BASE, PolicyBook, PolicyError, product_rules
from governance.access.cedar.requests import request_of
from governance.access.cedar.words import SENTENCES
from governance.access.conditions import Finding, Question
from governance.access.decisions import decide, require, require_obligations
from governance.decision import StepUp
from governance.errors import AccessDenied, ObligationUnmet, StepUpRequired
from governance.ids import uuid7
from governance.principals import SYSTEM, Device, Factor, Principal, Role, Signals
from governance.refs import ObjectRef

TENANT = uuid7()
ACTION = "access.application.manage"
THING = ObjectRef("access.application", "1")


def person(**signals) -> Principal:
    proof = Signals(**({"factor": Factor.PASSKEY, "factor_at": time.time()} | signals))
    return Principal(
        kind="user",
        id="7",
        label="Ada",
        tenant_id=TENANT,
        roles=frozenset({Role.TENANT_ADMIN}),
        user_id=TENANT,
        accountable_user_id=TENANT,
        signals=proof,
    )


@pytest.fixture(autouse=True)
def nothing_but_the_products_rules(monkeypatch):
    """No database: no catalogue that knows facts, no administrators' policies, no other app's conditions."""
    monkeypatch.setattr(facts, "_source", None)
    monkeypatch.setattr(source, "_source", source.ProductRulesOnly())
    monkeypatch.setattr(conditions, "_conditions", {})


@pytest.fixture
def in_force(monkeypatch):
    """Put Cedar text in force beside the product's rules."""

    def put(text: str) -> None:
        book = product_rules() + PolicyBook.parse(text)

        class Fixed:
            def book(self, tenant_id):
                return book

        monkeypatch.setattr(source, "_source", Fixed())

    return put


def test_the_products_own_rules_allow_a_well_proven_administrator():
    assert decide(person(), ACTION, THING).allow


def test_a_forbid_refuses_with_its_own_words_and_id(in_force):
    in_force(
        '@id("bank.closed") @reason("The bank is closed.") @help("Come back in the morning.") '
        f'forbid (principal, action == Action::"{ACTION}", resource);'
    )
    decision = decide(person(), ACTION, THING)
    assert (decision.allow, decision.reasons, decision.rules, decision.helps, decision.step_up) == (
        False,
        ("The bank is closed.",),
        ("bank.closed",),
        ("Come back in the morning.",),
        None,
    )
    with pytest.raises(AccessDenied, match=r"The bank is closed\. Come back in the morning\."):
        require(person(), ACTION, THING)


def test_a_policy_never_widens_what_roles_allow(in_force):
    in_force('@id("bank.all") permit (principal, action, resource);')
    nobody = replace(person(), roles=frozenset({Role.DEVELOPER}))
    assert not decide(nobody, ACTION, THING).allow


def test_of_policies_that_contradict_the_forbidding_one_decides_in_whatever_order(in_force):
    permit = (
        f'@id("yes") @obligation("tell-somebody") permit (principal, action == Action::"{ACTION}", resource);'
    )
    forbid = f'@id("no") @reason("Not today.") forbid (principal, action == Action::"{ACTION}", resource);'
    for text in (f"{permit}\n{forbid}", f"{forbid}\n{permit}"):
        in_force(text)
        decision = decide(person(), ACTION, THING, tenant_id=TENANT)
        assert (decision.allow, decision.rules, decision.reasons) == (False, ("no",), ("Not today.",))
        assert decision.obligations == ()
    in_force(permit)
    assert decide(person(), ACTION, THING, tenant_id=TENANT).obligations == ("tell-somebody",)


def test_a_policy_about_another_action_is_not_even_looked_at(in_force):
    in_force('@id("bank.other") forbid (principal, action == Action::"registry.model.view", resource);')
    assert decide(person(), ACTION, THING).allow


def test_a_policy_that_cannot_be_evaluated_refuses(in_force):
    in_force('@id("bank.broken") forbid (principal, action, resource) when { resource.label == "secret" };')
    decision = decide(person(), ACTION, THING)
    assert not decision.allow
    assert "could not be evaluated" in decision.reasons[0]


@pytest.mark.parametrize(
    ("signals", "policy", "allow"),
    [
        ({}, "2 900", True),
        ({"factor_at": time.time() - 1000}, "2 900", False),
        ({"factor": Factor.PASSWORD}, "2 900", False),
    ],
)
def test_a_step_up_says_what_would_be_enough(in_force, signals, policy, allow):
    in_force(
        f'@id("bank.fresh") @reason("Fresh proof, please.") @step_up("{policy}") '
        "forbid (principal is User, action, resource) "
        "unless { principal.assurance >= 2 && principal.factor_age_s <= 900 };"
    )
    decision = decide(person(**signals), ACTION, THING)
    assert decision.allow is allow
    if not allow:
        assert decision.step_up == StepUp(2, 900)
        with pytest.raises(StepUpRequired) as refused:
            require(person(**signals), ACTION, THING)
        assert refused.value.status == 401


def test_no_step_up_is_offered_where_another_policy_refuses_as_well(in_force):
    in_force(
        '@id("a") @step_up("3 0") forbid (principal, action, resource); '
        '@id("b") forbid (principal, action, resource);'
    )
    decision = decide(person(), ACTION, THING)
    assert set(decision.rules) == {"a", "b"}
    assert decision.step_up is None


def test_an_answer_that_looks_at_the_clock_is_not_kept_for_long(in_force):
    assert decide(person(), ACTION, THING).valid_until > time.time() + 3600
    in_force('@id("hours") forbid (principal, action, resource) when { context.hour > 30 };')
    assert decide(person(), ACTION, THING).valid_until <= time.time() + decisions.CLOCK_S


def test_facts_are_looked_up_only_where_a_policy_about_the_action_may_ask_for_them(in_force, monkeypatch):
    asked = []
    monkeypatch.setattr(
        facts, "_source", lambda target, tenant: asked.append(target) or {"label": "restricted"}
    )
    decide(person(), ACTION, THING)
    assert not asked
    in_force(
        '@id("bank.label") forbid (principal, action, resource) '
        'when { resource has label && resource["label"] == "restricted" };'
    )
    assert decide(person(), ACTION, THING).rules == ("bank.label",)
    assert asked == [THING]


def test_a_permit_can_carry_an_obligation_that_must_be_fulfilled(in_force):
    in_force(
        '@id("duty") @obligation("person-confirms") permit (principal, action, resource) '
        "when { context has amount && context.amount > 1000 };"
    )
    assert decide(person(), ACTION, THING, context={"amount": 10}).obligations == ()
    decision = decide(person(), ACTION, THING, context={"amount": 5000})
    assert decision.obligations == ("person-confirms",)
    with pytest.raises(ObligationUnmet, match="person-confirms"):
        require_obligations(decision, fulfilled=frozenset())
    require_obligations(decision, fulfilled=frozenset({"person-confirms"}))


def test_a_device_that_does_not_comply_is_kept_out():
    decision = decide(person(device=Device.NOT_COMPLIANT), ACTION, THING)
    assert "openclaw.device-must-comply" in decision.rules


def test_nobody_approves_a_request_of_their_own_and_others_may():
    officer = replace(person(), roles=frozenset({Role.ETHICS_OFFICER}), platform=True)
    own = {"requested_by": str(officer.accountable_user_id)}
    refused = decide(officer, "ethics.approval.decide", THING, context=own)
    assert refused.rules == ("openclaw.nobody-approves-own-request",)
    assert decide(officer, "ethics.approval.decide", THING, context={"requested_by": "another"}).allow


def test_an_unknown_fact_of_the_moment_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="colour"):
        decide(person(), ACTION, THING, context={"colour": "red"})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("permit (principal, action, resource);", "@id"),
        ('@id("x") permit (principal, action, resource)', "unexpected"),
        (
            '@id("x") permit (principal, action, resource); @id("x") forbid (principal, action, resource);',
            "same",
        ),
        ('@id("x") @step_up("soon") forbid (principal, action, resource);', "LEVEL SECONDS"),
        ('@id("x") permit (principal == ?principal, action, resource);', "templates"),
    ],
)
def test_text_that_is_no_policy_says_why(text, problem):
    with pytest.raises(PolicyError, match=problem):
        PolicyBook.parse(text)


def test_a_condition_narrows_and_obliges():
    said: list[Finding] = []
    conditions.register(lambda question: said, groups={"administer"})
    said[:] = [Finding("approval.duty", allow=True, obligation="person-confirms")]
    assert decide(person(), ACTION, THING).obligations == ("person-confirms",)
    said.append(Finding("stop.7", reason="Somebody pressed stop.", help="Two people can release it."))
    decision = decide(person(), ACTION, THING)
    assert (decision.allow, decision.reasons, decision.rules, decision.obligations) == (
        False,
        ("Somebody pressed stop.",),
        ("stop.7",),
        (),
    )


scopes = st.sampled_from(
    [
        "action",
        'action == Action::"a"',
        'action == Action::"b"',
        'action in [Action::"g", Action::"b"]',
        'action in Action::"g"',
        'action in Action::"h"',
    ]
)
effects = st.sampled_from(["permit", "forbid"])
tests = st.sampled_from(["true", "false", 'principal.factor == "otp"', "context.now > 5"])


@given(st.lists(st.tuples(effects, scopes, tests), max_size=8))
def test_slicing_by_action_changes_no_answer(policies):
    """Differential: the sliced book against Cedar over the whole text."""
    text = "\n".join(
        f'@id("p{n}") {effect} (principal, {scope}, resource) when {{ {test} }};'
        for n, (effect, scope, test) in enumerate(policies)
    )
    request = request_of(Question(SYSTEM, "a", None, None, {}), groups=["g"], facts={}, now=10)
    verdict = PolicyBook.parse(text).evaluate(request, frozenset({"a", "g"}))
    whole = cedarpy.is_authorized(
        {key: request[key] for key in ("principal", "action", "resource", "context")},
        f"{BASE}\n{text}",
        request["entities"],
    )
    assert verdict.allow == whole.allowed
    expected = {f"p{int(reason.removeprefix('policy')) - 1}" for reason in whole.diagnostics.reasons} - {
        "p-1"
    }
    assert {policy.id for policy in verdict.policies} == expected


def test_every_sentence_of_the_shipped_policies_can_be_translated():
    said = {text for policy in product_rules().policies for text in (policy.reason, policy.help) if text}
    assert said == set(SENTENCES), "governance/access/cedar/words.py lists what the policies say"
