"""Lineage from both ends, and a recorded day placed again."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from django.utils import timezone

from governance.data import lineage, services
from governance.data.lineage import Trace, graph_of
from governance.data.models import PlacementRecord
from governance.data.replay import Layout, as_table, replay_day
from governance.errors import InvalidInput, NotFound
from governance.ethics.binding import bind
from governance.ethics.models import Approval
from governance.ids import uuid7
from governance.principals import SYSTEM, Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context

pytestmark = pytest.mark.django_db

DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def in_org(org):
    with tenant_context(org.id):
        yield org


def chain(org, *names, relation="derived_from"):
    made = [
        services.register_asset(
            principal=SYSTEM, target=ObjectRef("tests.thing", str(uuid7()), label=name), tenant_id=org.id
        )
        for name in names
    ]
    for source, target in pairwise(made):
        services.link(
            principal=SYSTEM, source=source.target, target=target.target, relation=relation, tenant_id=org.id
        )
    return made


def test_the_walk_goes_both_ways_and_ends_in_a_cycle(in_org):
    first, middle, last = chain(in_org, "first", "middle", "last")
    services.link(
        principal=SYSTEM,
        source=last.target,
        target=first.target,
        relation="derived_from",
        tenant_id=in_org.id,
    )
    graph = graph_of(middle)
    assert {node.asset.name for node in graph.nodes} == {"first", "middle", "last"}
    assert len(graph.edges) == 3
    one_way = graph_of(middle, backward=False, relations=["trained_on"])
    assert [node.asset.name for node in one_way.nodes] == ["middle"]


def test_a_big_graph_is_cut_and_says_so(in_org):
    made = chain(in_org, *(f"thing {n}" for n in range(12)))
    graph = graph_of(made[0], most=5)
    assert (len(graph.nodes), graph.cut) == (5, True)


def test_a_prediction_leads_to_what_answered_it(in_org):
    version = chain(in_org, "version")[0]
    lineage.register_resolver(
        "tests-prediction", lambda ref, tenant: Trace(version.target) if ref == "req-1" else None
    )
    trace = lineage.resolve("tests-prediction", "req-1", in_org.id)
    assert lineage.asset_behind(trace, in_org.id) == version
    for kind, reference in (("tests-prediction", "req-2"), ("no-such", "req-1"), ("tests-prediction", "")):
        with pytest.raises(NotFound):
            lineage.resolve(kind, reference, in_org.id)
    lineage._resolvers.pop("tests-prediction")


def placed(org, minute, label, *, count=1, pool="private", subjects=(), region="", workload="batch"):
    PlacementRecord.objects.create(
        tenant=org,
        at=NOON + timedelta(minutes=minute),
        task="batch.run_shard",
        workload=workload,
        label=label,
        subjects=list(subjects),
        region=region,
        pool=pool,
        count=count,
    )


def layout(**changes):
    pools = [
        {"name": "private", "kind": "private", "capacity": 10},
        {"name": "cloud", "kind": "public", "capacity": 1000},
    ]
    bursts = [{"workload": "batch", "threshold": 20, "pool": "cloud"}]
    return Layout.from_json(json.dumps({"pools": pools, "bursts": bursts} | changes))


def test_a_replayed_burst_moves_only_what_may_move(in_org):
    placed(in_org, 0, "internal", count=30)
    placed(in_org, 0, "restricted", count=30)
    placed(in_org, 0, "", count=5)
    placed(in_org, 10, "public", count=1)  # by then the queue has drained
    replay = replay_day(DAY, layout=layout(), tenant_id=in_org.id)
    ran = {(line.label, line.would): line.count for line in replay.lines}
    assert ran[("internal", "cloud")] == replay.moved_out == 9
    assert ran[("internal", "private")] == 21
    assert ran[("restricted", "private")] == 30
    assert ran[("", "private")] == 5
    assert ran[("public", "private")] == 1
    assert replay.placements == 66
    assert replay.peaks["batch"] == 56
    assert any("9 would differ" in line for line in as_table(replay))


def test_other_pools_show_what_was_refused_for_want_of_them(in_org):
    placed(in_org, 0, "restricted", pool="", subjects=["health"], region="ward-3")
    assert replay_day(DAY, tenant_id=in_org.id).lines[0].would == "refused"
    assert replay_day(DAY, tenant_id=in_org.id).lines[0].rule.startswith("openclaw.")
    with_edge = layout(
        pools=[{"name": "ward-3", "kind": "edge", "region": "ward-3", "certified_for": ["hipaa"]}], bursts=[]
    )
    assert replay_day(DAY, layout=with_edge, tenant_id=in_org.id).lines[0].would == "ward-3"


def test_another_day_and_another_tenant_are_not_replayed(in_org, other_org):
    placed(in_org, 0, "internal")
    assert replay_day(DAY + timedelta(days=1), tenant_id=in_org.id).placements == 0
    assert replay_day(DAY, tenant_id=other_org.id).placements == 0


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        '{"pools": [{"name": "x"}]}',
        '{"pools": [{"name": "x", "kind": "orbital"}]}',
        '{"pools": [], "bursts": [{"workload": "batch", "threshold": 1, "pool": "nowhere"}]}',
        '{"pools": [{"name": "x", "kind": "public", "capacity": "many"}]}',
    ],
)
def test_a_pool_file_that_describes_nothing_is_refused(text):
    with pytest.raises(InvalidInput):
        Layout.from_json(text)


def test_an_approval_stands_in_the_lineage_of_what_it_allows(in_org, partner_org, member):
    version = chain(in_org, "version")[0]
    subject = ObjectRef("catalog.pluginversion", "1", digest="a" * 64)
    with platform_scope():
        approval = Approval.objects.create(
            tenant=partner_org,
            subject_type=subject.type,
            subject_id=subject.id,
            subject_digest=subject.digest,
            purpose="triage",
            questionnaire_version="1",
            state=Approval.State.APPROVED,
            requested_by=member(partner_org, Role.PARTNER),
            decided_by=member(partner_org, Role.PARTNER),
            expires_at=timezone.now() + timedelta(days=1),
        )
    bind(principal=SYSTEM, subject=subject, objects=[version.target], tenant_id=in_org.id)
    origin = graph_of(version).origins[0].asset
    assert (origin.type, origin.object_id) == ("ethics.approval", str(approval.id))
    version.refresh_from_db()
    assert version.label == "internal"
