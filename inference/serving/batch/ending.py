"""How a batch job ends by itself: what failed, who may no longer have it done, and where it may no longer run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from governance.access.services import record_refusal
from governance.audit.services import record
from governance.data.placement import PlacementRefused, on_refusal
from governance.ids import uuid7
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from inference.serving.batch import files
from inference.serving.batch.services import end_job, send
from inference.serving.models import BatchJob, BatchShard

Job = BatchJob.State


def lock_job(job_id: UUID) -> BatchJob | None:
    """The job, locked, if it is there. Locks are always taken job first."""
    return BatchJob.objects.select_for_update(of=("self",)).filter(pk=job_id).first()


def fail(job: BatchJob, error: str) -> None:
    """End a locked job with what went wrong, for the person who made it."""
    end_job(job, Job.FAILED, error=error)
    record_end(job, "serving.batch.fail", error)


def record_end(job: BatchJob, action: str, reason: str) -> None:
    """Write into the audit log what the house did to the job."""
    target = ObjectRef.of(job, digest=job.result_sha256 or job.input_sha256)
    record(principal=SYSTEM, action=action, target=target, tenant_id=job.tenant_id, reason=reason)


def sent(name: str, job: BatchJob, **arguments: UUID) -> bool:
    """Queue a step of the job; when no pool may do it any more the job fails, and the audit log keeps why."""
    try:
        send(name, job, **arguments)
    except PlacementRefused as refusal:
        record_refusal(refusal)
        job.refresh_from_db(from_queryset=BatchJob.objects.select_for_update(of=("self",)))
        if job.finished_at is None:
            fail(job, str(refusal))
        return False
    return True


def end_revoked(reason: str, *, job_id: UUID | str = "", shard_id: UUID | str = "") -> None:
    """Whoever had the job done may no longer: it ends, what was computed is dropped, and it says why."""
    with transaction.atomic():
        if shard_id:
            job_id = BatchShard.objects.filter(pk=shard_id).values_list("job_id", flat=True)[:1].get()
        job = lock_job(UUID(str(job_id)))
        if job is not None and job.finished_at is None:
            end_job(job, Job.CANCELLED, error=reason)
            record_end(job, "serving.batch.cancel", reason)
            transaction.on_commit(lambda: files.tidy(job))


def end_refused(arguments: Mapping[str, Any], refusal: PlacementRefused) -> None:
    """No pool may do the job's work any more, because a label has risen since: it fails and says by which rule."""
    with transaction.atomic():
        job_id = arguments.get("job_id")
        if job_id is None:
            rows = BatchShard.objects.filter(pk=arguments["shard_id"]).values_list("job_id", flat=True)
            job_id = rows[0] if rows else uuid7()
        job = lock_job(UUID(str(job_id)))
        if job is not None and job.finished_at is None:
            fail(job, str(refusal))


def register_refusals() -> None:
    """Tell the placer how the tasks of this module end."""
    for name in ("batch.plan", "batch.run_shard", "batch.join"):
        on_refusal(name, end_refused)
