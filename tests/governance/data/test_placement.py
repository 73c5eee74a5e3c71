"""Placement: what the policies say about each pool decides where work runs, when it is queued and where it starts."""

from __future__ import annotations

import ast
import json

import pytest
from celery import current_app, shared_task
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.access.cedar.engine import RULES, product_rules
from governance.access.cedar.requests import request_of
from governance.access.cedar.schema import validate
from governance.access.conditions import Question
from governance.access.rules import names_of
from governance.audit.models import AuditEntry
from governance.audit.services import platform_tenant_id
from governance.data import pools, services
from governance.data.labels import LABELS, SUBJECTS
from governance.data.models import PlacementRecord
from governance.data.placement import UNNAMED, PlacementRefused, Work, burst, judge, on_refusal, place
from governance.data.placement_log import log
from governance.data.queues import queue_length
from governance.errors import AccessDenied, InvalidInput
from governance.ids import uuid7
from governance.principals import SYSTEM, Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.tasks import HEADER, TenantTask, enqueue, movable_workloads
from tests.site.meta.product import AREAS, sources

pytestmark = pytest.mark.django_db

RAN: list[str] = []


@shared_task(name="tests.placed", base=TenantTask)
def placed_task(word: str) -> None:
    RAN.append(word)


@pytest.fixture(autouse=True)
def empty_log():
    log.forget()
    RAN.clear()
    yield
    log.forget()


@pytest.fixture
def in_org(org):
    with tenant_context(org.id):
        yield org


def thing(org, **values) -> ObjectRef:
    ref = ObjectRef(type="tests.data", id=str(uuid7()), label="data")
    services.register_asset(principal=SYSTEM, target=ref, tenant_id=org.id, **values)
    return ref


def pool(name, kind, **values):
    with platform_scope():
        pools.set_pool(principal=SYSTEM, name=name, kind=kind, **values)


def work(org, *assets, **values):
    return Work(tenant_id=org.id, task="tests.placed", workload="batch", assets=assets, **values)


def test_work_without_data_goes_home(in_org):
    assert place(work(in_org)).queue == "batch"


def test_confidential_work_stays_in_the_house_and_public_pools_are_for_bursts_alone(in_org):
    pool("cloud", "public", region="eu")
    for label in LABELS:
        assert place(work(in_org, thing(in_org, label=label))).pool.name == "private"


def test_restricted_health_data_stays_at_its_edge_node_and_is_refused_elsewhere(in_org):
    scan = thing(in_org, label="restricted", subjects=["health"], region="ward-3")
    pool("private", "private", certified_for=["hipaa"], region="ward-3")
    pool("ward-4", "edge", certified_for=["hipaa"], region="ward-4")
    with pytest.raises(PlacementRefused) as refused:
        place(work(in_org, scan))
    assert refused.value.rule == "openclaw.restricted-health-stays-at-its-edge"
    assert refused.value.label == "restricted"
    assert refused.value.status == 409
    assert "edge node" in str(refused.value.message)
    pool("ward-3", "edge", certified_for=["hipaa"], region="ward-3")
    made = place(work(in_org, scan))
    assert (made.pool.name, made.queue) == ("ward-3", "batch@ward-3")
    assert [step.allowed for step in made.trail] == [False, True]


def test_of_several_rules_the_same_one_is_always_named_first(in_org):
    scan = thing(in_org, label="restricted", subjects=["health", "payment"], region="ward-3")
    named = set()
    for _ in range(10):
        with pytest.raises(PlacementRefused) as refused:
            place(work(in_org, scan))
        named.add(refused.value.rule)
    assert named == {"openclaw.restricted-health-stays-at-its-edge"}


@pytest.mark.parametrize(
    ("subject", "certificate", "rule"),
    [
        ("health", "hipaa", "openclaw.health-needs-hipaa"),
        ("payment", "pci-dss", "openclaw.payment-needs-pci-dss"),
    ],
)
def test_certificates_decide(in_org, subject, certificate, rule):
    data = thing(in_org, label="confidential", subjects=[subject])
    with pytest.raises(PlacementRefused) as refused:
        place(work(in_org, data))
    assert refused.value.rule == rule
    pool("private", "private", certified_for=[certificate.upper()])
    assert place(work(in_org, data)).pool.name == "private"


def test_regional_data_goes_to_a_pool_of_its_region(in_org):
    data = thing(in_org, region="eu")
    with pytest.raises(PlacementRefused) as refused:
        place(work(in_org, data))
    assert refused.value.rule == "openclaw.data-stays-in-its-region"
    pool("frankfurt", "private", region="eu")
    assert place(work(in_org, data)).pool.name == "frankfurt"


def test_the_most_restricted_of_several_assets_decides(in_org):
    pool("frankfurt", "private", region="eu", certified_for=["hipaa"])
    open_, health = thing(in_org, label="public"), thing(in_org, label="confidential", subjects=["health"])
    assert place(work(in_org, open_, health)).pool.name == "frankfurt"


def test_another_tenants_own_pool_is_no_candidate(in_org, other_org):
    with platform_scope():
        pools.set_pool(principal=SYSTEM, name="theirs", kind="private", region="eu", tenant_id=other_org.id)
    with pytest.raises(PlacementRefused):
        place(work(in_org, thing(in_org, region="eu")))


def test_pools_of_two_tenants_and_of_the_platform_never_share_a_queue(in_org, other_org, principal_for):
    admin = principal_for(in_org, Role.TENANT_ADMIN)
    own = pools.set_pool(
        principal=admin, name="edge-1", kind="private", region="eu", tenant_id=pools.own_tenant(admin)
    )
    pool("edge-1", "public", region="eu")  # later, and of the same name
    with platform_scope():
        theirs = pools.set_pool(
            principal=SYSTEM, name="edge-1", kind="private", region="eu", tenant_id=other_org.id
        )
    assert (own.address, theirs.address) == ("bank.edge-1", f"{other_org.slug}.edge-1")
    data = thing(in_org, label="restricted", region="eu")
    assert place(work(in_org, data)).queue == "batch@bank.edge-1"
    kinds = {p.name: p.kind for p in pools.pools_for(in_org.id)}
    assert kinds == {"private": "private", "bank.edge-1": "private", "edge-1": "public"}
    assert not judge(work(in_org, data), next(p for p in pools.pools_for(in_org.id) if p.name == "edge-1"))[
        0
    ].allowed


def test_a_worker_of_another_tenants_pool_starts_nothing_of_ours(in_org, other_org, monkeypatch, valkey):
    with platform_scope():
        pools.set_pool(principal=SYSTEM, name="edge-1", kind="private", tenant_id=other_org.id)
    monkeypatch.setenv("OPENCLAW_POOL", f"{other_org.slug}.edge-1")
    run(in_org, [thing(in_org, label="public")])
    assert RAN == []


def test_a_tenants_administrator_describes_own_pools_and_no_others(in_org, other_org, principal_for):
    admin = principal_for(in_org, Role.TENANT_ADMIN)
    for owner in (None, other_org.id):
        with pytest.raises(AccessDenied):
            pools.set_pool(principal=admin, name="mine", kind="private", tenant_id=owner)
    with pytest.raises(AccessDenied):
        pools.set_pool(
            principal=principal_for(in_org, Role.DEVELOPER), name="x", kind="edge", tenant_id=in_org.id
        )
    with pytest.raises(InvalidInput):
        pools.set_pool(principal=admin, name="a.b", kind="private", tenant_id=in_org.id)
    with pytest.raises(AccessDenied):
        pools.set_burst(principal=admin, workload="batch", threshold=1, pool_name="cloud")


def test_a_burst_moves_only_what_may_move(in_org):
    pool("cloud", "public")
    with platform_scope():
        pools.set_burst(principal=SYSTEM, workload="batch", threshold=10, pool_name="cloud")
    movable = [thing(in_org, label=label) for label in ("public", "internal")]
    fixed = [
        thing(in_org, label="confidential"),
        thing(in_org, label="restricted"),
        ObjectRef(type="tests.data", id=str(uuid7())),  # in no catalogue
    ]
    for asset in movable:
        assert burst(work(in_org, asset), 11).queue == "batch@cloud"
        assert burst(work(in_org, asset), 10).queue == "batch"
    for asset in fixed:
        assert burst(work(in_org, asset), 10_000).queue == "batch"


def test_work_that_names_no_data_is_not_moved_by_a_burst_nor_by_a_wish(in_org):
    pool("cloud", "public")
    pool("frankfurt", "private", region="eu")
    with platform_scope():
        pools.set_burst(principal=SYSTEM, workload="batch", threshold=0, pool_name="cloud")
    assert burst(work(in_org), 10_000).queue == "batch"
    assert place(work(in_org, region="eu")).queue == "batch"
    steps = {p.name: judge(work(in_org), p)[0] for p in pools.pools_for(in_org.id)}
    assert {name: step.allowed for name, step in steps.items()} == {
        "private": True,
        "cloud": False,
        "frankfurt": False,
    }
    assert steps["cloud"].rules == (UNNAMED,)


def test_burst_rules_are_only_for_workloads_whose_tasks_name_their_data(in_org):
    pool("cloud", "public")
    assert movable_workloads() == ("batch",)
    with platform_scope():
        for workload in ("default", "checks", "publish", "", "no-such"):
            with pytest.raises(InvalidInput) as refused:
                pools.set_burst(principal=SYSTEM, workload=workload, threshold=1, pool_name="cloud")
            assert "batch" in str(refused.value.hint)
    assert pools.bursts() == {}


def test_nothing_sends_work_of_a_movable_workload_without_naming_its_data():
    current_app.loader.import_default_modules()
    declared = {name for name, task in current_app.tasks.items() if getattr(task, "names_data_in", "")}
    assert declared == {"batch.plan", "batch.run_shard", "batch.join", "batch.build_reference"}
    for path in sources(*AREAS):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) != "enqueue":
                continue
            keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if "assets" in keywords:
                continue
            said = {ast.unparse(each).strip("'") for each in node.args} | {
                keywords.get("queue", "").strip("'")
            }
            assert not said & (declared | set(movable_workloads())), f"{path}:{node.lineno}"


facts_of_data = st.fixed_dictionaries(
    {"label": st.sampled_from(LABELS), "subjects": st.sets(st.sampled_from(SUBJECTS)).map(sorted)},
    optional={"region": st.sampled_from(["eu", "us"])},
)
facts_of_pools = st.builds(
    pools.Pool,
    name=st.just("some"),
    kind=st.sampled_from(["private", "public", "edge"]),
    region=st.sampled_from(["", "eu", "us"]),
    certified_for=st.sets(st.sampled_from(["hipaa", "pci-dss"])).map(tuple),
)


@settings(deadline=None)
@given(facts_of_data, facts_of_pools)
def test_the_shipped_rules_say_what_the_promise_says(data, where):
    question = Question(SYSTEM, "data.work.place", ObjectRef("tests.data", "1"), uuid7(), where.context)
    names = names_of("data.work.place")
    verdict = product_rules().evaluate(
        request_of(question, groups=names - {"data.work.place"}, facts=data), names
    )
    assert not verdict.errors
    region = data.get("region", "")
    promised = (
        not (where.kind == "public" and data["label"] in ("confidential", "restricted"))
        and not (
            data["label"] == "restricted"
            and "health" in data["subjects"]
            and not (where.kind == "edge" and region and where.region == region)
        )
        and (not region or where.region == region)
        and ("health" not in data["subjects"] or "hipaa" in where.certified_for)
        and ("payment" not in data["subjects"] or "pci-dss" in where.certified_for)
    )
    assert verdict.allow is promised
    assert verdict.allow or verdict.policies[0].reason


def test_a_refused_message_is_never_sent(in_org, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks, pytest.raises(PlacementRefused):
        enqueue("tests.placed", queue="batch", assets=[thing(in_org, region="mars")], word="no")
    assert not [c for c in callbacks if "_send" in repr(c)]


def run(org, assets, **environment):
    header = {"tenant": str(org.id), "workload": "batch", "assets": [[a.type, a.id] for a in assets]}
    return placed_task.apply(kwargs={"word": "ran"}, headers={HEADER: header}, **environment)


@pytest.mark.usefixtures("valkey")
def test_what_became_stricter_while_it_waited_does_not_start(in_org, principal_for, monkeypatch):
    ended: list[tuple[dict, str]] = []
    on_refusal("tests.placed", lambda arguments, refusal: ended.append((dict(arguments), refusal.rule)))
    data = thing(in_org, label="internal")
    run(in_org, [data])
    assert RAN == ["ran"]
    services.register_asset(principal=SYSTEM, target=data, tenant_id=in_org.id, subjects=["health"])
    run(in_org, [data])
    assert RAN == ["ran"]
    assert ended == [({"word": "ran"}, "openclaw.health-needs-hipaa")]
    entry = AuditEntry.objects.get(action="data.work.place", decision="deny")
    assert entry.target_id == data.id


@pytest.mark.usefixtures("valkey")
def test_a_worker_of_a_pool_that_may_not_sends_the_work_on(in_org, monkeypatch):
    pool("cloud", "public")
    monkeypatch.setenv("OPENCLAW_POOL", "cloud")
    run(in_org, [thing(in_org, label="confidential")])
    assert RAN == []
    assert queue_length("batch", fresh_s=0) == 1
    run(in_org, [thing(in_org, label="public")])
    assert RAN == ["ran"]


@pytest.mark.usefixtures("valkey")
def test_a_worker_of_a_pool_that_nobody_knows_runs_nothing_on_data(in_org, monkeypatch):
    monkeypatch.setenv("OPENCLAW_POOL", "basement")
    run(in_org, [thing(in_org, label="public")])
    assert RAN == []
    assert queue_length("batch", fresh_s=0) == 1


@pytest.mark.usefixtures("valkey")
@pytest.mark.parametrize("header", [{"workload": "checks"}, {}])
def test_work_that_names_no_data_starts_at_home_alone_and_the_way_back_is_kept(in_org, monkeypatch, header):
    pool("cloud", "public")
    monkeypatch.setenv("OPENCLAW_POOL", "cloud")
    placed_task.apply(kwargs={"word": "ran"}, headers={HEADER: header}, routing_key="checks@cloud")
    assert RAN == []
    assert queue_length("checks", fresh_s=0) == 1
    with platform_scope():
        entry = AuditEntry.objects.get(action="data.work.sent_on")
    assert entry.details["rule"] == UNNAMED
    assert (entry.details["from"], entry.details["to"]) == ("cloud", "private")
    monkeypatch.delenv("OPENCLAW_POOL")
    placed_task.apply(kwargs={"word": "ran"}, headers={HEADER: header}, routing_key="checks")
    assert RAN == ["ran"]


@pytest.mark.usefixtures("valkey")
def test_messages_carry_what_they_work_on(in_org, django_capture_on_commit_callbacks):
    data = thing(in_org)
    with django_capture_on_commit_callbacks(execute=True):
        enqueue("tests.placed", queue="batch", assets=[data], word="later")
    with current_app.connection_for_write() as connection:
        message = json.loads(connection.default_channel.client.rpop("batch"))
    assert message["headers"][HEADER]["assets"] == [[data.type, data.id]]


def test_every_placement_is_recorded_and_equal_ones_are_counted(in_org):
    data = thing(in_org, label="confidential")
    for _ in range(3):
        place(work(in_org, data))
    with pytest.raises(PlacementRefused):
        place(work(in_org, thing(in_org, region="mars")))
    log.flush()
    rows = PlacementRecord.objects.filter(tenant=in_org)
    assert sum(row.count for row in rows.filter(pool="private", label="confidential")) == 3
    assert rows.get(pool="").rule == "openclaw.data-stays-in-its-region"


def test_before_there_is_a_platform_the_houses_own_work_is_not_recorded():
    platform_tenant_id.cache_clear()
    place(Work(tenant_id=None, task="beat.first"))
    assert log.flush() == 1
    with platform_scope():
        assert not PlacementRecord.objects.exists()


@pytest.mark.parametrize("name", ["labels.cedar", "residency.cedar"])
def test_the_shipped_files_hold_against_the_schema(name):
    assert validate((RULES / name).read_text(encoding="utf-8")) == []
