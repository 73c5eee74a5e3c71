"""Watching a batch job over its WebSocket: the state at once, every change, and nothing for strangers."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from governance.access.standing import REFUSED
from governance.principals import ANONYMOUS, Role
from governance.tenants.context import tenant_context
from inference.serving.batch import joining, planning, worker
from inference.serving.batch.consumers import FINISHED
from inference.serving.batch.services import create_batch_job
from inference.serving.models import BatchShard
from tests.factories.inference import make_endpoint, make_version
from tests.websockets import Socket

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture
def admin(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def job(admin, org):
    make_endpoint(admin, make_version(admin))
    with tenant_context(org.id):
        return create_batch_job(
            principal=admin, endpoint_name="adder", filename="a.jsonl", chunks=[b"[1,2,3]\n[4,5,6]\n"]
        )


def socket(job, principal):
    return Socket(f"/ws/batch-jobs/{job.id}/", principal)


async def test_every_change_is_told_until_the_end(job, admin, org):
    watcher = socket(job, admin)
    assert (await watcher.connect())["type"] == "websocket.accept"
    first = await watcher.receive_json()
    assert (first["state"], first["row_count"], first["finished"]) == ("queued", None, False)

    def compute():
        from django.db import transaction

        with tenant_context(org.id):
            planning.plan(job.id)
            with transaction.atomic():
                shard = BatchShard.objects.get(job=job)
            worker.run_shard(shard.id)
            joining.join(job.id)

    await sync_to_async(compute)()
    seen = []
    while not seen or not seen[-1]["finished"]:
        seen.append(await watcher.receive_json())
    assert [state["state"] for state in seen] == ["running", "running", "succeeded"]
    assert (seen[-1]["rows_done"], seen[-1]["shards_done"], seen[-1]["shards"]) == (2, 1, 1)
    assert (await watcher.receive())["code"] == FINISHED
    await watcher.close()


@pytest.mark.parametrize("who", ["another tenant", "another service", "nobody"])
async def test_strangers_are_turned_away(job, org, other_org, principal_for, who):
    principal = {
        "another tenant": lambda: principal_for(other_org, Role.TENANT_ADMIN),
        "another service": lambda: principal_for(org, Role.SERVICE),
        "nobody": lambda: ANONYMOUS,
    }[who]
    watcher = socket(job, await sync_to_async(principal)())
    await watcher.connect()
    ended = await watcher.receive()
    assert (ended["type"], ended["code"]) == ("websocket.close", REFUSED)
    await watcher.close()
