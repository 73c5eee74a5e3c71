"""Reading batch jobs."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum
from django.utils.translation import gettext as _

from governance.access.decisions import decide, require
from governance.errors import NotFound
from governance.principals import Principal
from inference.serving.models import BatchJob, BatchShard


def visible_jobs(principal: Principal) -> QuerySet[BatchJob]:
    """The jobs of the tenant for those who may see them all, else one's own."""
    rows = BatchJob.objects.select_related("endpoint", "model_version__model")
    if principal.platform:
        return rows
    rows = rows.filter(tenant_id=principal.tenant_id) if principal.tenant_id else rows.none()
    if decide(principal, "serving.batch.view").allow:
        return rows
    return rows.filter(created_by_kind=principal.kind, created_by_id=principal.id)


def with_progress(jobs: QuerySet[BatchJob]) -> QuerySet[BatchJob]:
    """The jobs with `shard_count`, `shards_done`, `shard_rows_done` and `shard_rows_bad`, in the same query."""
    return jobs.annotate(
        shard_count=Count("shards"),
        shards_done=Count("shards", filter=Q(shards__state=BatchShard.State.DONE)),
        shard_rows_done=Sum("shards__rows_done", default=0),
        shard_rows_bad=Sum("shards__rows_bad", default=0),
    )


def is_own(principal: Principal, job: BatchJob) -> bool:
    """Whether the principal itself made the job."""
    return (principal.kind, principal.id, principal.tenant_id) == (
        job.created_by_kind,
        job.created_by_id,
        job.tenant_id,
    )


def find_job(job_id: UUID) -> BatchJob:
    """A job that row security shows. Raises NotFound."""
    job = BatchJob.objects.select_related("endpoint", "model_version__model").filter(pk=job_id).first()
    if job is None:
        raise NotFound(_("There is no such batch job."))
    return job


def seeing(principal: Principal, job: BatchJob) -> str:
    """The action that seeing this job is for this principal."""
    return "serving.batch.request" if is_own(principal, job) else "serving.batch.view"


def stopping(principal: Principal, job: BatchJob) -> str:
    """The action that stopping, pausing or resuming this job is for this principal."""
    return "serving.batch.request" if is_own(principal, job) else "serving.batch.cancel"


def job_for(principal: Principal, job_id: UUID) -> BatchJob:
    """A job that the principal may see. Raises NotFound or AccessDenied."""
    job = find_job(job_id)
    require(principal, seeing(principal, job), job)
    return job
