"""Labels: what is derived is never less restricted, and nobody lowers a label alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.audit.models import AuditEntry
from governance.data import labels, loosening, selectors, services
from governance.data.models import Asset, LineageEdge
from governance.errors import AccessDenied, Conflict, InvalidInput
from governance.ids import uuid7
from governance.principals import SYSTEM, Role
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context

pytestmark = pytest.mark.django_db

words = st.lists(
    st.sampled_from(["public", "internal", "confidential", "restricted", "personal", "financial", "health"])
)


def ref(name: str, kind: str = "tests.thing") -> ObjectRef:
    return ObjectRef(type=kind, id=str(uuid7()), label=name)


@pytest.fixture
def in_org(org):
    with tenant_context(org.id):
        yield org


def enter(org, name="thing", **values):
    return services.register_asset(principal=SYSTEM, target=ref(name), tenant_id=org.id, **values)


def join(org, source: Asset, target: Asset, relation=LineageEdge.Relation.DERIVED_FROM):
    return services.link(
        principal=SYSTEM, source=source.target, target=target.target, relation=relation, tenant_id=org.id
    )


def fresh(asset: Asset) -> tuple[str, list[str]]:
    asset.refresh_from_db()
    return asset.label, asset.subjects


@settings(deadline=None)
@given(words)
def test_what_a_manifest_declares_is_never_taken_for_less(said):
    label, subjects = labels.declared(said)
    assert all(labels.RANK[label] >= labels.RANK[word] for word in said if word in labels.RANK)
    assert ("health" in said) <= ("health" in subjects)
    if subjects and not set(said) & set(labels.LABELS):
        assert label == "confidential"


def test_registering_again_never_lowers(in_org):
    thing = ref("dataset")
    first = services.register_asset(principal=SYSTEM, target=thing, tenant_id=in_org.id, label="restricted")
    again = services.register_asset(
        principal=SYSTEM, target=thing, tenant_id=in_org.id, label="public", subjects=["health"], region="eu"
    )
    assert again.id == first.id
    assert fresh(again) == ("restricted", ["health"])
    assert again.region == "eu"


def test_a_label_flows_at_linking_and_when_a_source_rises_through_a_cycle(in_org, principal_for):
    data, model, endpoint, result = (enter(in_org, n) for n in ("data", "model", "endpoint", "result"))
    services.relabel(
        principal=principal_for(in_org, Role.TENANT_ADMIN),
        asset_id=data.id,
        label="confidential",
        subjects=["personal"],
        reason="it holds names",
    )
    join(in_org, data, model, LineageEdge.Relation.TRAINED_ON)
    assert fresh(model) == ("confidential", ["personal"])
    join(in_org, model, endpoint, LineageEdge.Relation.DEPLOYED_TO)
    join(in_org, endpoint, result, LineageEdge.Relation.PREDICTED_BY)
    join(in_org, result, data)  # a cycle: results became training data
    raised = services.relabel(
        principal=principal_for(in_org, Role.TENANT_ADMIN),
        asset_id=data.id,
        label="restricted",
        subjects=["personal", "health"],
        reason="diagnoses were found",
    )
    assert {asset.name for asset in raised} == {"model", "endpoint", "result"}
    assert {fresh(asset) for asset in ()} == set()
    for asset in (data, model, endpoint, result):
        assert fresh(asset) == ("restricted", ["health", "personal"])
    entries = AuditEntry.objects.filter(action="data.asset.raise", target_id=str(endpoint.id))
    assert "diagnoses were found" in entries.order_by("-sequence").first().reason


@pytest.mark.parametrize("relation", ["evaluated_on", "approved_by"])
def test_an_evaluation_and_an_approval_put_no_data_into_a_version(in_org, relation):
    secret, model = enter(in_org, label="restricted"), enter(in_org, label="internal")
    join(in_org, secret, model, relation)
    assert fresh(model)[0] == "internal"


def test_bad_links_and_labels_are_refused_and_change_nothing(in_org):
    thing = enter(in_org)
    with pytest.raises(InvalidInput):
        join(in_org, thing, thing)
    with pytest.raises(InvalidInput):
        join(in_org, thing, enter(in_org), "is_a_friend_of")
    with pytest.raises(InvalidInput):
        enter(in_org, label="secret")
    with pytest.raises(InvalidInput):
        enter(in_org, subjects=["weather"])
    assert not LineageEdge.objects.exists()


def test_lowering_takes_two_people_and_a_reason(in_org, principal_for):
    admin, other = principal_for(in_org, Role.TENANT_ADMIN), principal_for(in_org, Role.TENANT_ADMIN)
    asset = enter(in_org, label="restricted", subjects=["health"])
    with pytest.raises(InvalidInput, match="lower"):
        services.relabel(principal=admin, asset_id=asset.id, label="internal", subjects=[], reason="x")
    wish = loosening.request_declassification(
        principal=admin, asset_id=asset.id, label="internal", subjects=[], reason="anonymised"
    )
    assert fresh(asset) == ("restricted", ["health"])
    with pytest.raises(AccessDenied) as refused:
        loosening.decide_declassification(principal=admin, request_id=wish.id, approve=True, reason="fine")
    assert refused.value.decision.rules == ("openclaw.nobody-approves-own-request",)
    with pytest.raises(AccessDenied):
        loosening.decide_declassification(
            principal=principal_for(in_org, Role.DATA_SCIENTIST), request_id=wish.id, approve=True, reason="x"
        )
    with pytest.raises(InvalidInput):
        loosening.decide_declassification(principal=other, request_id=wish.id, approve=True, reason=" ")
    loosening.decide_declassification(principal=other, request_id=wish.id, approve=True, reason="checked")
    assert fresh(asset) == ("internal", [])
    assert AuditEntry.objects.filter(action="data.asset.declassify", reason="checked").count() == 1


def test_a_stale_request_does_not_lower_what_has_risen_since(in_org, principal_for):
    admin, other = principal_for(in_org, Role.TENANT_ADMIN), principal_for(in_org, Role.TENANT_ADMIN)
    asset = enter(in_org, label="confidential")
    wish = loosening.request_declassification(
        principal=admin, asset_id=asset.id, label="public", subjects=[], reason="to publish"
    )
    services.relabel(
        principal=other, asset_id=asset.id, label="restricted", subjects=["health"], reason="found more"
    )
    with pytest.raises(Conflict, match="changed"):
        loosening.decide_declassification(principal=other, request_id=wish.id, approve=True, reason="fine")
    loosening.decide_declassification(principal=other, request_id=wish.id, approve=False, reason="no longer")
    assert fresh(asset) == ("restricted", ["health"])


def test_a_declassified_copy_stays_so_when_it_is_linked_again(in_org, principal_for):
    admin, other = principal_for(in_org, Role.TENANT_ADMIN), principal_for(in_org, Role.TENANT_ADMIN)
    source, copy = enter(in_org, label="restricted"), enter(in_org)
    join(in_org, source, copy)
    wish = loosening.request_declassification(
        principal=admin, asset_id=copy.id, label="internal", subjects=[], reason="anonymised"
    )
    loosening.decide_declassification(principal=other, request_id=wish.id, approve=True, reason="checked")
    join(in_org, source, copy)
    assert fresh(copy)[0] == "internal"


def test_decisions_see_the_facts_at_once_whatever_the_askers_row_scope(in_org, other_org):
    thing = ref("data")
    assert selectors.facts(thing, in_org.id) == {}
    services.register_asset(principal=SYSTEM, target=thing, tenant_id=in_org.id, label="confidential")
    assert selectors.facts(thing, in_org.id)["label"] == "confidential"
    with tenant_context(other_org.id):
        assert selectors.facts(thing, in_org.id)["label"] == "confidential"
        assert selectors.facts(thing, other_org.id) == {}


def test_warm_facts_cost_no_query(transactional_db, org, django_assert_num_queries):
    thing = ref("data")
    with tenant_context(org.id):
        services.register_asset(principal=SYSTEM, target=thing, tenant_id=org.id, label="restricted")
    selectors.facts(thing, org.id)
    with django_assert_num_queries(0):
        assert selectors.facts(thing, org.id)["label"] == "restricted"
