"""Starting a batch job, computing it as workers do, and reading what came of it."""

from __future__ import annotations

import json

from django.core.files.storage import storages
from django.db import transaction

from governance.principals import SYSTEM
from governance.tenants.context import tenant_context
from inference.registry.services import hold_version
from inference.serving.batch import files, joining, planning, worker
from inference.serving.batch.services import create_batch_job
from inference.serving.models import BatchJob, BatchShard


def start(principal, content, *, filename="rows.jsonl", **more):
    with tenant_context(principal.tenant_id):
        return create_batch_job(
            principal=principal, endpoint_name="adder", filename=filename, chunks=[content], **more
        )


def rows(count):
    return b"".join(json.dumps({"x": [i, 0, 0]}).encode() + b"\n" for i in range(count))


def compute(job):
    """What the workers do, in this process."""
    with tenant_context(job.tenant_id):
        planning.plan(job.id)
        with transaction.atomic():
            shards = list(BatchShard.objects.filter(job=job).values_list("id", flat=True))
        for shard in shards:
            worker.run_shard(shard)
        joining.join(job.id)
        with transaction.atomic():
            return BatchJob.objects.get(pk=job.pk)


def result(job):
    return [json.loads(line) for line in content(job).splitlines()]


def content(job):
    with tenant_context(job.tenant_id):
        return files.result_path(job).read_bytes()


def names(job):
    """The names of all that is kept of a job."""
    return storages["objects"].names(f"{job.tenant_id}/batch/{job.id}", after="", limit=100)


def hold(job):
    with tenant_context(job.tenant_id):
        hold_version(principal=SYSTEM, version_id=job.model_version_id, reason="a finding")
