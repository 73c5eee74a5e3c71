"""Loading a restricted version, and computing on restricted rows, is kept in the audit log: one entry for each load."""

from __future__ import annotations

import asyncio

import pytest
from django.db import OperationalError, connection, transaction

from governance.audit.models import AuditEntry
from governance.data.house_reads import ACTION
from governance.principals import Role
from governance.tenants.context import platform_scope
from inference.registry import artifacts
from inference.registry.artifacts import ArtifactAway
from inference.rollouts.selectors import endpoint_snapshot
from inference.serving.options import ServingOptions
from inference.serving.pool import ModelPool
from inference.serving.runtime import LoadError
from inference.serving.runtimes import Runtimes
from inference.serving.signature import Signature
from tests.factories.inference import make_endpoint, make_version
from tests.inference.serving.batch.jobs import compute, rows, start

pytestmark = pytest.mark.django_db(transaction=True)


def readings():
    with platform_scope(), transaction.atomic():
        found = AuditEntry.objects.filter(action=ACTION, details__has_key="use").order_by("sequence")
        return [(entry.details["use"], entry.target_type) for entry in found]


@pytest.fixture
def admin(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


def arm_of(admin, *labels):
    endpoint = make_endpoint(admin, make_version(admin, labels=list(labels)))
    return endpoint_snapshot(admin.tenant_id, endpoint.name).arms[0]


LOADED = ("load a model version", "registry.modelversion")


def test_a_restricted_version_is_kept_once_however_many_ask_for_it_and_although_it_is_tried_first(admin):
    arm = arm_of(admin, "restricted")

    async def ask():
        pool = ModelPool(loader=Runtimes(ServingOptions(trial=True)))
        await asyncio.gather(*(pool.get(arm) for _ in range(5)))
        await pool.get(arm)
        await pool.close()

    asyncio.run(ask())
    assert readings() == [LOADED]


def test_a_version_of_another_label_is_not_kept(admin):
    arm = arm_of(admin, "confidential")
    signature = Signature.declared(arm.inputs, arm.outputs)
    Runtimes(ServingOptions(trial=True)).load(arm, signature).close()
    assert readings() == []


def test_a_process_of_a_model_that_is_started_again_reads_again(admin):
    arm = arm_of(admin, "restricted")
    signature = Signature.declared(arm.inputs, arm.outputs)
    runtime = Runtimes(ServingOptions(isolated=True)).load(arm, signature)
    runtime.close()
    runtime._started_again()
    runtime.close()
    assert readings() == [LOADED, LOADED]


def test_what_cannot_be_kept_is_not_loaded_now(admin, monkeypatch):
    arm = arm_of(admin, "restricted")

    def away(*_args, **_kwargs):
        raise OperationalError("the database is away")

    monkeypatch.setattr(artifacts, "keep_house_read", away)
    with pytest.raises(LoadError) as refused:
        Runtimes().load(arm, Signature.declared(arm.inputs, arm.outputs))
    assert isinstance(refused.value.__cause__, ArtifactAway)
    assert not connection.in_atomic_block


def test_a_job_on_restricted_rows_is_kept_once_for_each_thing_that_is_done_with_them(admin):
    make_endpoint(admin, make_version(admin))
    done = compute(start(admin, rows(40), label="restricted"))
    assert (done.state, done.row_count) == ("succeeded", 40)
    assert readings() == [
        ("plan a batch job", "serving.batchinput"),
        ("compute a batch job", "serving.batchinput"),
        ("join a batch job's result", "serving.batchjob"),
    ]
