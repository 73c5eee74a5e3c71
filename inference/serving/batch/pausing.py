"""Pausing and resuming a batch job: what is done stays done, and nothing new begins until somebody resumes it."""

from __future__ import annotations

import errno
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import NotFound
from governance.principals import Principal
from governance.refs import ObjectRef
from inference.serving.batch.ending import lock_job, record_end, sent
from inference.serving.batch.events import publish
from inference.serving.batch.selectors import stopping
from inference.serving.batch.states import JOB_STATES, SHARD_STATES
from inference.serving.models import BatchJob, BatchShard

Job = BatchJob.State
Shard = BatchShard.State
# No room on the device, no room in the quota, a file that may not grow any more.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def pause_batch_job(*, principal: Principal, job_id: UUID, reason: str = "") -> BatchJob:
    """Let no new shard begin. Shards under way are finished and count; whoever may cancel the job may pause it."""
    with transaction.atomic():
        job = _locked_for(principal, job_id)
        _pause(job, "")
        _record(principal, job, "serving.batch.pause", reason)
    return job


def resume_batch_job(*, principal: Principal, job_id: UUID, reason: str = "") -> BatchJob:
    """Go on where the job was paused: with its planning, with the shards that are not done, or with the joining.

    It is placed anew: where no pool may do its work any more, it fails and says by which rule.
    """
    with transaction.atomic():
        job = _locked_for(principal, job_id)
        target = Job.RUNNING if job.started_at else Job.QUEUED
        JOB_STATES.check(job.state, target)
        job.state, job.error, job.paused_at, job.sent_at = target, "", None, timezone.now()
        job.save(update_fields=["state", "error", "paused_at", "sent_at"])
        _record(principal, job, "serving.batch.resume", reason)
        if target == Job.QUEUED:
            sent("batch.plan", job, job_id=job.id)
        else:
            _send_the_rest(job)
        publish(job)
    return job


def pause_by_itself(job: BatchJob, reason: str) -> None:
    """Pause a locked job that cannot go on until a person has done something; once it is paused, nothing changes."""
    if JOB_STATES.allows(job.state, Job.PAUSED):
        _pause(job, reason)
        record_end(job, "serving.batch.pause", reason)


def is_full(error: OSError) -> bool:
    """Whether a write failed because there is no room."""
    return error.errno in FULL


def no_room() -> str:
    """What to do about it, for the person who made the job."""
    return _("There is no room where the results are kept. Make room there, then resume the job.")


def _pause(job: BatchJob, error: str) -> None:
    JOB_STATES.check(job.state, Job.PAUSED)
    job.state, job.error, job.paused_at = Job.PAUSED, error, timezone.now()
    job.save(update_fields=["state", "error", "paused_at"])
    publish(job)


def _send_the_rest(job: BatchJob) -> None:
    """Send every shard that nobody works on, or, when all are done, the joining."""
    now = timezone.now()
    shards = list(job.shards.select_for_update(of=("self",)).exclude(state=Shard.DONE).order_by("index"))
    if not shards:
        sent("batch.join", job, job_id=job.id)
        return
    for shard in shards:
        if shard.state == Shard.RUNNING:
            if shard.lease_until is None or shard.lease_until > now:
                continue
            SHARD_STATES.check(shard.state, Shard.WAITING)
            shard.state, shard.lease_until, shard.lease_token = Shard.WAITING, None, None
        shard.sent_at, shard.sent_count = now, 1
    waiting = [shard for shard in shards if shard.state == Shard.WAITING]
    BatchShard.objects.bulk_update(
        waiting, ["state", "lease_until", "lease_token", "sent_at", "sent_count"], batch_size=1000
    )
    for shard in waiting:
        if not sent("batch.run_shard", job, shard_id=shard.id):
            break


def _locked_for(principal: Principal, job_id: UUID) -> BatchJob:
    job = lock_job(job_id)
    if job is None:
        raise NotFound(_("There is no such batch job."))
    require(principal, stopping(principal, job), job)
    return job


def _record(principal: Principal, job: BatchJob, action: str, reason: str) -> None:
    record(
        principal=principal,
        action=action,
        target=ObjectRef.of(job, digest=job.input_sha256),
        tenant_id=job.tenant_id,
        reason=reason,
    )
