"""Celery tasks of batch predictions: each calls one function."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from governance.tenants.tasks import TenantTask
from inference.serving.batch.ending import end_revoked
from inference.serving.batch.joining import join as join_shards
from inference.serving.batch.planning import plan as plan_job
from inference.serving.batch.referencing import TASK as BUILD_REFERENCE
from inference.serving.batch.referencing import build
from inference.serving.batch.referencing import end_revoked as end_reference
from inference.serving.batch.retention import drop_old_jobs
from inference.serving.batch.services import QUEUE
from inference.serving.batch.stalled import resume_stalled as take_over
from inference.serving.batch.worker import run_shard as compute


@shared_task(
    name="batch.plan",
    base=TenantTask,
    when_revoked=staticmethod(end_revoked),
    names_data_in=QUEUE,
)
def plan(job_id: str) -> None:
    """Cut a job into shards."""
    plan_job(UUID(job_id))


@shared_task(
    name="batch.run_shard",
    base=TenantTask,
    when_revoked=staticmethod(end_revoked),
    names_data_in=QUEUE,
)
def run_shard(shard_id: str) -> None:
    """Compute a shard."""
    compute(UUID(shard_id))


@shared_task(
    name="batch.join",
    base=TenantTask,
    when_revoked=staticmethod(end_revoked),
    names_data_in=QUEUE,
)
def join(job_id: str) -> None:
    """Put the results of a job together."""
    join_shards(UUID(job_id))


@shared_task(
    name=BUILD_REFERENCE,
    base=TenantTask,
    when_revoked=staticmethod(end_reference),
    names_data_in=QUEUE,
)
def build_reference(job_id: str) -> None:
    """Count the rows of a job as its version's training reference."""
    build(UUID(job_id))


@shared_task(name="batch.resume_stalled", base=TenantTask)
def resume_stalled() -> None:
    """Take over from workers that died."""
    take_over()


@shared_task(name="batch.drop_old_jobs", base=TenantTask)
def drop_old() -> None:
    """Keep uploads and results within their retention."""
    drop_old_jobs()
