"""Region and purpose flow like labels; what cannot hold together is refused, and nobody loosens anything alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.audit.models import AuditEntry
from governance.data import loosening, pools, services
from governance.data.flow import LimitsClash
from governance.data.labels import LABELS, SUBJECTS, Limits
from governance.data.models import Asset, Declassification, LineageEdge
from governance.data.placement import PlacementRefused, Work, place
from governance.errors import AccessDenied, Conflict, InvalidInput
from governance.ids import uuid7
from governance.principals import SYSTEM, Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context

pytestmark = pytest.mark.django_db

limits = st.builds(
    Limits,
    label=st.sampled_from(LABELS),
    subjects=st.sets(st.sampled_from(SUBJECTS)).map(lambda found: tuple(sorted(found))),
    region=st.sampled_from(["", "eu", "us"]),
    purpose=st.sampled_from(["", "fraud", "credit"]),
)


@pytest.fixture
def in_org(org):
    with tenant_context(org.id):
        yield org


@pytest.fixture
def admin(in_org, principal_for):
    return principal_for(in_org, Role.TENANT_ADMIN)


def enter(org, name="thing", **values) -> Asset:
    ref = ObjectRef(type="tests.thing", id=str(uuid7()), label=name)
    return services.register_asset(principal=SYSTEM, target=ref, tenant_id=org.id, **values)


def join(org, source: Asset, target: Asset, relation=LineageEdge.Relation.DERIVED_FROM):
    return services.link(
        principal=SYSTEM, source=source.target, target=target.target, relation=relation, tenant_id=org.id
    )


@given(limits, limits)
def test_joined_limits_are_weaker_than_neither_unless_they_clash(one, other):
    both = one.joined(other)
    assert not both.weaker_than(one)
    assert both.weaker_than(other) is bool(one.clash(other))
    assert bool(one.clash(other)) is bool(other.clash(one))
    assert one.joined(one) == one
    assert not one.weaker_than(one)


def test_region_and_purpose_flow_and_what_cannot_hold_together_is_refused(in_org, admin):
    data, model, endpoint = (enter(in_org, name) for name in ("data", "model", "endpoint"))
    join(in_org, data, model, LineageEdge.Relation.TRAINED_ON)
    join(in_org, model, endpoint, LineageEdge.Relation.DEPLOYED_TO)
    services.describe_asset(principal=admin, asset_id=data.id, region="eu", purpose="fraud")
    for asset in (model, endpoint):
        asset.refresh_from_db()
        assert (asset.region, asset.purpose) == ("eu", "fraud")
    for field, value, rule in (
        ("region", "us", "openclaw.data-stays-in-its-region"),
        ("purpose", "credit", "openclaw.purpose-limitation"),
    ):
        other = enter(in_org, "other", **{field: value})
        with pytest.raises(LimitsClash) as refused:
            join(in_org, other, model)
        assert (refused.value.rule, refused.value.status) == (rule, 409)
        assert rule in str(refused.value)
        assert not LineageEdge.objects.filter(source=other).exists()
        # An evaluation puts no data into a version, so nothing has to hold together.
        join(in_org, other, model, LineageEdge.Relation.EVALUATED_ON)
    model.refresh_from_db()
    assert (model.region, model.purpose) == ("eu", "fraud")


def test_a_description_that_would_clash_below_changes_nothing(in_org, admin):
    source, below = enter(in_org, "source"), enter(in_org, "below", region="us")
    join(in_org, source, below)
    with pytest.raises(LimitsClash):
        services.describe_asset(principal=admin, asset_id=source.id, region="eu")


def test_registering_again_fills_in_a_region_and_flows(in_org):
    source, below = enter(in_org, "source"), enter(in_org, "below")
    join(in_org, source, below)
    for region in ("eu", "us"):
        services.register_asset(
            principal=SYSTEM, target=source.target, tenant_id=in_org.id, region=region, purpose="fraud"
        )
    for asset in (source, below):
        asset.refresh_from_db()
        assert (asset.region, asset.purpose) == ("eu", "fraud")


@pytest.mark.parametrize(
    "looser",
    [
        {"region": ""},
        {"region": "us"},
        {"purpose": ""},
        {"purpose": "credit"},
        {"retention_days": 31},
        {"retention_days": 0},
    ],
)
def test_loosening_region_purpose_or_retention_takes_two_people(in_org, admin, principal_for, looser):
    asset = enter(in_org, region="eu", purpose="fraud", retention_days=30)
    with pytest.raises(InvalidInput) as refused:
        services.describe_asset(principal=admin, asset_id=asset.id, **looser)
    assert refused.value.code == "loosens-limits"
    with pytest.raises(InvalidInput):
        loosening.request_declassification(principal=admin, asset_id=asset.id, reason=" ", **looser)
    wish = loosening.request_declassification(principal=admin, asset_id=asset.id, reason="moves", **looser)
    asset.refresh_from_db()
    assert (asset.region, asset.purpose, asset.retention_days) == ("eu", "fraud", 30)
    with pytest.raises(AccessDenied):
        loosening.decide_declassification(principal=admin, request_id=wish.id, approve=True, reason="fine")
    loosening.decide_declassification(
        principal=principal_for(in_org, Role.TENANT_ADMIN), request_id=wish.id, approve=True, reason="fine"
    )
    asset.refresh_from_db()
    wanted = {"region": "eu", "purpose": "fraud", "retention_days": 30} | looser
    assert (asset.region, asset.purpose) == (wanted["region"], wanted["purpose"])
    assert asset.retention_days == (wanted["retention_days"] or None)
    assert AuditEntry.objects.filter(action="data.asset.declassify").count() == 1


def test_what_restricts_more_needs_one_person_and_a_stale_request_is_refused(in_org, admin, principal_for):
    asset = enter(in_org, purpose="fraud", retention_days=30)
    wish = loosening.request_declassification(
        principal=admin, asset_id=asset.id, purpose="", reason="for all"
    )
    services.describe_asset(principal=admin, asset_id=asset.id, region="eu", retention_days=7)
    asset.refresh_from_db()
    assert (asset.region, asset.retention_days) == ("eu", 7)
    with pytest.raises(Conflict, match="changed"):
        loosening.decide_declassification(
            principal=principal_for(in_org, Role.TENANT_ADMIN), request_id=wish.id, approve=True, reason="x"
        )
    assert Declassification.objects.get().state == Declassification.State.REQUESTED
    with pytest.raises(InvalidInput, match="loosen anything"):
        loosening.request_declassification(principal=admin, asset_id=asset.id, region="eu", reason="x")


def test_restricted_data_of_one_purpose_is_placed_for_that_purpose_alone(in_org):
    with platform_scope():
        pools.set_pool(principal=SYSTEM, name="private", kind="private", region="eu")
    bound, open_ = (enter(in_org, label="restricted", purpose=purpose) for purpose in ("fraud", ""))
    plain = enter(in_org, label="internal", purpose="fraud")

    def work(asset, purpose):
        return Work(tenant_id=in_org.id, task="t", assets=(asset.target,), purpose=purpose)

    for asset, purpose in ((bound, "fraud"), (open_, ""), (open_, "credit"), (plain, ""), (plain, "fraud")):
        assert place(work(asset, purpose)).pool.name == "private"
    for asset, purpose, rule in (
        (bound, "", "openclaw.restricted-data-needs-a-stated-purpose"),
        (bound, "credit", "openclaw.purpose-limitation"),
        (plain, "credit", "openclaw.purpose-limitation"),
    ):
        with pytest.raises(PlacementRefused) as refused:
            place(work(asset, purpose))
        assert refused.value.rule == rule
