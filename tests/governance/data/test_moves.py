"""Restricted data that leaves the home pool is in the audit log: once for each dispatch, and for nothing less."""

from __future__ import annotations

import pytest
from django.db import transaction

from governance.audit.models import AuditEntry
from governance.data import pools, services
from governance.data.placement import PlacementRefused, Placer, Work, judge, place
from governance.data.placement_log import log
from governance.ids import uuid7
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.tasks import QueuedWork

pytestmark = pytest.mark.django_db
SCAN = {"label": "restricted", "subjects": ["health"], "region": "ward-3"}


@pytest.fixture(autouse=True)
def ward(org):
    """An edge node, and a placement log of the test's own."""
    log.forget()
    with platform_scope():
        pools.set_pool(principal=SYSTEM, name="ward-3", kind="edge", region="ward-3", certified_for=["hipaa"])
    with tenant_context(org.id):
        yield
    log.forget()


def thing(org, **values) -> ObjectRef:
    ref = ObjectRef(type="tests.data", id=str(uuid7()), label="data")
    services.register_asset(principal=SYSTEM, target=ref, tenant_id=org.id, **values)
    return ref


def queued(org, *assets) -> QueuedWork:
    return QueuedWork(task="tests.moved", workload="batch", assets=assets, tenant_id=org.id)


def moves(org) -> list[tuple[str, str, str]]:
    with tenant_context(org.id), transaction.atomic():
        rows = AuditEntry.objects.filter(action="data.asset.move").order_by("sequence")
        return [(row.target_id, row.details["pool"], row.details["label"]) for row in rows]


def test_restricted_data_that_is_sent_to_another_pool_is_recorded(org):
    scan, second = thing(org, **SCAN), thing(org, **SCAN)
    assert Placer().queue_for(queued(org, scan, second)) == "batch@ward-3"
    assert sorted(moves(org)) == sorted(
        [(scan.id, "ward-3", "restricted"), (second.id, "ward-3", "restricted")]
    )
    # Where it starts, in that pool, nothing moves any more.
    assert Placer().admit(queued(org, scan), "ward-3", {}).runs
    assert len(moves(org)) == 2


def test_what_is_brought_to_the_wrong_pool_and_sent_on_is_recorded(org):
    scan = thing(org, **SCAN)
    admission = Placer().admit(queued(org, scan), "private", {})
    assert (admission.runs, admission.queue) == (False, "batch@ward-3")
    assert moves(org) == [(scan.id, "ward-3", "restricted")]


@pytest.mark.parametrize("label", ["public", "internal", "confidential"])
def test_other_data_is_not(org, label):
    near = thing(org, label=label, region="ward-3")
    Placer().queue_for(queued(org, near))
    assert moves(org) == []


def test_asking_moves_nothing(org):
    scan, at_home = thing(org, **SCAN), thing(org, label="restricted")
    work = Work(tenant_id=org.id, task="tests.moved", workload="batch", assets=(scan,))
    assert place(work).pool.name == "ward-3"
    assert judge(work, place(work).pool)[0].allowed
    assert Placer().queue_for(queued(org, at_home)) == "batch"
    with pytest.raises(PlacementRefused):
        Placer().queue_for(queued(org, thing(org, **(SCAN | {"region": "ward-9"}))))
    assert moves(org) == []
