"""A real Celery worker is killed in the middle of a job: nothing is lost and nothing is repeated."""

from __future__ import annotations

import json
import os
import signal
from hashlib import sha256

import pytest
from django.db import transaction

from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.serving.batch import files, stalled
from inference.serving.batch.services import create_batch_job
from inference.serving.models import BatchJob, BatchShard
from tests.factories.inference import looping_model, make_endpoint, make_version
from tests.workers import wait_for, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

ROWS = 8_000


def test_a_killed_worker_loses_and_repeats_nothing(org, principal_for, services, tmp_path):
    admin = principal_for(org, Role.TENANT_ADMIN)
    make_endpoint(admin, make_version(admin, artifact=looping_model(40_000)))
    lines = [json.dumps({"x": [i, 0, -1]}) if i % 1_000 != 500 else "broken" for i in range(ROWS)]
    with tenant_context(org.id):
        job = create_batch_job(
            principal=admin,
            endpoint_name="adder",
            filename="rows.jsonl",
            chunks=["\n".join(lines).encode()],
        )

    def shards(**which):
        with tenant_context(org.id), transaction.atomic():
            return list(BatchShard.objects.filter(job=job, **which).order_by("index"))

    with worker(services, tmp_path, "first", queue="batch") as process:
        log = tmp_path / "first.log"
        wait_for(lambda: shards(state="done") and shards(state="running"), "work", log)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finished = {shard.index: shard for shard in shards(state="done")}
    torn = {shard.index for shard in shards(state="running")}
    assert finished and torn

    def state():
        stalled.resume_stalled()  # what beat does every five seconds
        with tenant_context(org.id), transaction.atomic():
            return BatchJob.objects.get(pk=job.pk)

    with worker(services, tmp_path, "second", queue="batch"):
        done = wait_for(
            lambda: found if (found := state()).finished_at else None, "the end", tmp_path / "second.log"
        )
    assert (done.state, done.error) == ("succeeded", "")
    assert (done.row_count, done.rows_ok, done.rows_bad) == (ROWS, ROWS - 8, 8)
    with tenant_context(org.id):
        content = files.result_path(done).read_bytes()
    found = [json.loads(line) for line in content.splitlines()]
    assert [line["row"] for line in found] == list(range(1, ROWS + 1))
    assert [line["outputs"]["y"] if "outputs" in line else None for line in found] == [
        [i + 1.0, 1.0, 0.0] if i % 1_000 != 500 else None for i in range(ROWS)
    ]
    assert sha256(content).hexdigest() == done.result_sha256
    after = {shard.index: shard for shard in shards()}
    assert all(after[i].attempts == 1 and after[i].finished_at == s.finished_at for i, s in finished.items())
    assert all(after[i].attempts == 2 for i in torn)
