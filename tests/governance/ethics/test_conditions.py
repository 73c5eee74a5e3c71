"""Conditions of approvals: read, said, and judged at the decision point."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.access.decisions import decide, require, require_obligations
from governance.data.pools import set_pool
from governance.errors import AccessDenied, InvalidInput, ObligationUnmet
from governance.ethics import services
from governance.ethics.models import Approval, Binding
from governance.ethics.selectors import bound_objects, without_approval
from governance.ethics.terms import KINDS, Terms, parse_terms
from governance.ethics.use import Use
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from tests.governance.ethics.steps import ask, bind, subject
from tests.governance.ethics.steps import decide as decide_approval

database = pytest.mark.django_db(transaction=True)
INVOKE, SPLIT = "rollouts.endpoint.invoke", "rollouts.endpoint.split"
GOOD = [
    {"kind": "purposes_only", "value": ["triage", "teaching"]},
    {"kind": "traffic_share_at_most", "value": 20},
    {"kind": "person_confirms_above", "value": 10_000},
    {"kind": "region_only", "value": ["eu-central"]},
    {"kind": "until", "value": "2100-01-31"},
]


def test_what_is_read_is_what_was_written():
    terms = parse_terms(GOOD)
    assert parse_terms(terms.as_json()) == terms
    assert len(terms.sentences()) == len(KINDS)


@given(
    st.builds(
        Terms,
        purposes=st.none()
        | st.frozensets(st.from_regex(r"[a-z0-9]{1,9}", fullmatch=True), min_size=1, max_size=5),
        share=st.none() | st.integers(1, 100),
        amount=st.none() | st.integers(0, 10**15),
        regions=st.none()
        | st.frozensets(st.from_regex(r"[a-z]{2,9}", fullmatch=True), min_size=1, max_size=3),
        until=st.none() | st.dates(date(2026, 1, 1), date(2200, 1, 1)),
    )
)
@settings(deadline=None)
def test_terms_survive_the_database(terms):
    assert parse_terms(terms.as_json()) == terms


@pytest.mark.parametrize(
    "entry",
    [
        "text", {}, {"kind": "purposes_only"}, {"kind": "no-such", "value": 1},
        {"kind": "purposes_only", "value": []}, {"kind": "purposes_only", "value": ["Not A Name"]},
        {"kind": "purposes_only", "value": "triage"}, {"kind": "traffic_share_at_most", "value": 0},
        {"kind": "traffic_share_at_most", "value": 101}, {"kind": "traffic_share_at_most", "value": True},
        {"kind": "person_confirms_above", "value": -1}, {"kind": "person_confirms_above", "value": "5"},
        {"kind": "until", "value": "tomorrow"}, {"kind": "until", "value": 5},
        {"kind": "until", "value": "2026-01-01", "more": 1},
    ],
)  # fmt: skip
def test_a_condition_that_makes_no_sense_is_named(entry):
    with pytest.raises(InvalidInput) as refused:
        parse_terms([GOOD[0], entry])
    assert refused.value.errors[0]["pointer"] == "/conditions/1"


def test_a_condition_cannot_be_there_twice_nor_end_in_the_past():
    with pytest.raises(InvalidInput, match="twice"):
        parse_terms([GOOD[1], GOOD[1]])
    with pytest.raises(InvalidInput, match="over"):
        parse_terms([{"kind": "until", "value": "2026-01-01"}], today=date(2026, 1, 2))
    parse_terms([{"kind": "until", "value": "2026-01-01"}])


@pytest.mark.parametrize("text", ["Credit", "a b", "x" * 65, "-a", "a--b"])
def test_a_purpose_is_a_name(text):
    with pytest.raises(ValueError, match="Purpose"):
        Use.parse(text, "")


def test_an_amount_is_a_whole_number():
    assert Use.parse(" triage ", "0").context() == {"purpose": "triage", "amount": 0}
    for text in ("-1", "1.5", "1e3", "٣", "9" * 17):
        with pytest.raises(ValueError, match="Amount"):
            Use.parse("", text)


@pytest.fixture
def approve(partner, officer):
    """An approval in force with these conditions."""

    def make(*conditions, **more):
        return decide_approval(officer, ask(partner), conditions=list(conditions), **more)

    return make


ARM = ObjectRef("registry.modelversion", "7", "", "model 7")


def ask_point(admin, action=INVOKE, target=ARM, **context):
    with tenant_context(admin.tenant_id), transaction.atomic():
        return require(admin, action, target, tenant_id=admin.tenant_id, context=context)


@database
def test_without_an_approval_in_force_nothing_is_used_or_released(admin, approve, partner):
    bind(admin.tenant_id, ARM)
    for action in (INVOKE, SPLIT):
        with pytest.raises(AccessDenied, match="needs an ethics approval") as refused:
            ask_point(admin, action, traffic_share=1)
        assert refused.value.decision.rules == ("ethics.no-valid-approval",)
    approve()
    for action in (INVOKE, SPLIT):
        ask_point(admin, action, traffic_share=100)
    with platform_scope(), transaction.atomic():
        services.void_approvals(principal=partner, subject=subject(), reason="Withdrawn.")
    with pytest.raises(AccessDenied):
        ask_point(admin)


@database
def test_an_approval_of_other_bytes_does_not_help(admin, approve):
    approve()
    bind(admin.tenant_id, ARM, about=subject("b" * 64))
    with pytest.raises(AccessDenied):
        ask_point(admin)


@database
def test_it_ends_at_the_second_whoever_marks_it_or_not(admin, approve):
    approve()
    bind(admin.tenant_id, ARM)
    decision = ask_point(admin)
    with platform_scope(), transaction.atomic():
        binding = Binding.objects.get()
        assert decision.valid_until <= binding.valid_until.timestamp()
        Binding.objects.update(valid_until=timezone.now() - timedelta(seconds=1))
    bound_objects.forget()
    with pytest.raises(AccessDenied):
        ask_point(admin)
    with tenant_context(admin.tenant_id), transaction.atomic():
        assert without_approval(ARM.type, [ARM.id], tenant_id=admin.tenant_id) == {ARM.id}


@database
def test_marking_it_expired_reaches_every_tenant(admin, approve):
    approval = approve()
    bind(admin.tenant_id, ARM)
    with platform_scope(), transaction.atomic():
        Approval.objects.filter(pk=approval.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert services.expire_approvals() == 1
    with platform_scope(), transaction.atomic():
        assert not Binding.objects.get().in_force


@database
def test_only_these_purposes(admin, approve):
    approve({"kind": "purposes_only", "value": ["triage"]})
    bind(admin.tenant_id, ARM)
    ask_point(admin, purpose="triage")
    with pytest.raises(AccessDenied, match="marketing") as refused:
        ask_point(admin, purpose="marketing")
    assert "triage" in str(refused.value.hint)
    with pytest.raises(AccessDenied, match="names none") as refused:
        ask_point(admin)
    assert "X-OpenClaw-Purpose" in str(refused.value.hint)
    with tenant_context(admin.tenant_id), transaction.atomic():
        assert decide(admin, INVOKE, ARM, tenant_id=admin.tenant_id).allow, "a menu shows what is possible"
    ask_point(admin, SPLIT, traffic_share=50)


@database
def test_at_most_this_share(admin, approve):
    approve({"kind": "traffic_share_at_most", "value": 20})
    bind(admin.tenant_id, ARM)
    ask_point(admin, SPLIT, traffic_share=20)
    with pytest.raises(AccessDenied, match="at most 20 percent"):
        ask_point(admin, SPLIT, traffic_share=21)


@database
def test_a_person_confirms_above_an_amount(admin, approve):
    approve({"kind": "person_confirms_above", "value": 1000})
    bind(admin.tenant_id, ARM)
    assert ask_point(admin, amount=1000).obligations == ()
    decision = ask_point(admin, amount=1001)
    assert decision.obligations == ("person-confirms",)
    with pytest.raises(ObligationUnmet):
        require_obligations(decision, fulfilled=frozenset())
    require_obligations(decision, fulfilled=frozenset({"person-confirms"}))
    with pytest.raises(AccessDenied, match="names none"):
        ask_point(admin)


@database
def test_only_in_these_regions(admin, approve):
    approve({"kind": "region_only", "value": ["eu-central"]})
    bind(admin.tenant_id, ARM)
    ask_point(admin, pool_region="eu-central")
    with pytest.raises(AccessDenied, match="us-east"):
        ask_point(admin, pool_region="us-east")
    with pytest.raises(AccessDenied, match="not known"):
        ask_point(admin)


@database
def test_where_it_runs_counts_before_where_it_is_entered(admin, approve, monkeypatch):
    approve({"kind": "region_only", "value": ["eu-central"]})
    bind(admin.tenant_id, ARM)
    with platform_scope(), transaction.atomic():
        set_pool(principal=SYSTEM, name="private", kind="private", region="eu-central")
        set_pool(principal=SYSTEM, name="cloud", kind="public", region="us-east")
    ask_point(admin)
    monkeypatch.setenv("OPENCLAW_POOL", "cloud")
    with pytest.raises(AccessDenied, match="us-east"):
        ask_point(admin)


@database
def test_a_decision_outside_a_transaction_sees_the_bindings_too(admin):
    """Row security shows nothing outside a transaction, and nothing must not mean allowed."""
    bind(admin.tenant_id, ARM)
    assert not decide(admin, INVOKE, ARM, tenant_id=admin.tenant_id).allow


@database
def test_another_tenant_is_not_concerned(admin, other_org, principal_for):
    from governance.principals import Role

    bind(admin.tenant_id, ARM)
    neighbour = principal_for(other_org, Role.TENANT_ADMIN)
    with tenant_context(other_org.id), transaction.atomic():
        assert decide(neighbour, INVOKE, ARM, tenant_id=other_org.id).allow
        assert not Binding.objects.exists()


@database
def test_only_the_house_itself_binds(admin):
    from governance.ethics.binding import bind as bind_as

    with pytest.raises(AccessDenied), tenant_context(admin.tenant_id):
        bind_as(principal=admin, subject=subject(), objects=[ARM], tenant_id=admin.tenant_id)


@database
def test_what_is_remembered_of_a_tenant_is_forgotten_when_its_bindings_change(admin, approve, partner):
    ask_point(admin)  # nothing is bound: that is remembered
    bind(admin.tenant_id, ARM)
    with pytest.raises(AccessDenied):
        ask_point(admin)
    approve()
    ask_point(admin)
    with platform_scope(), transaction.atomic():
        services.void_approvals(principal=partner, subject=subject(), reason="Withdrawn.")
    with pytest.raises(AccessDenied):
        ask_point(admin)
