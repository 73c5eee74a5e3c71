"""Who works on a shard: leases that are claimed, renewed, completed, given up or put off.

The rows are the truth. A message that arrives twice, late or never changes nothing but the time it takes: a shard is
computed by whoever holds its lease, and its result counts only while that is so. Locks are always taken job first.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.ethics.selectors import without_approval
from governance.ids import uuid7
from inference.serving.batch.attempts import MAX_ATTEMPTS
from inference.serving.batch.ending import fail, lock_job, sent
from inference.serving.batch.events import publish
from inference.serving.batch.in_service import OutOfService, require_in_service
from inference.serving.batch.pausing import pause_by_itself
from inference.serving.batch.states import SHARD_STATES
from inference.serving.models import BatchJob, BatchShard

log = logging.getLogger(__name__)

Job = BatchJob.State
Shard = BatchShard.State
# A paused job takes no new shard; what is under way is finished and counts.
UNDER_WAY = (Job.RUNNING, Job.PAUSED)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to compute one shard, as long as `renew` says so."""

    shard: BatchShard
    job: BatchJob
    token: UUID


def claim(shard_id: UUID) -> Lease | None:
    """Lease a shard that waits, or whose last lease ran out. None when there is nothing to do.

    A job whose model was taken out of service meanwhile fails here, with the reason.
    """
    with transaction.atomic():
        rows = BatchShard.objects.filter(pk=shard_id).values_list("job_id", flat=True)
        job = lock_job(rows[0]) if rows else None
        shard = BatchShard.objects.select_for_update(of=("self",)).filter(pk=shard_id).first()
        if job is None or shard is None or job.state != Job.RUNNING:
            return None
        now = timezone.now()
        if shard.state == Shard.RUNNING and shard.lease_until is not None and shard.lease_until <= now:
            release(shard)
        if shard.state != Shard.WAITING:
            return None
        if shard.attempts >= MAX_ATTEMPTS:
            _fail_shard(
                shard, job, f"Rows {shard.first_row} and on were given up after {MAX_ATTEMPTS} attempts."
            )
            return None
        job = BatchJob.objects.select_related("endpoint", "model_version").get(pk=job.id)
        try:
            require_in_service(job.model_version)
        except OutOfService as error:
            _fail_shard(shard, job, str(error))
            return None
        if without_approval("registry.modelversion", [job.model_version_id], tenant_id=job.tenant_id):
            _fail_shard(shard, job, _("The ethics approval of the model version is no longer in force."))
            return None
        SHARD_STATES.check(shard.state, Shard.RUNNING)
        shard.state = Shard.RUNNING
        shard.attempts += 1
        shard.lease_token = uuid7()
        shard.lease_until = _lease_end(now)
        shard.rows_done = shard.rows_bad = 0
        shard.save(update_fields=["state", "attempts", "lease_token", "lease_until", "rows_done", "rows_bad"])
    return Lease(shard=shard, job=job, token=shard.lease_token)


def renew(lease: Lease, *, rows_done: int, rows_bad: int) -> bool:
    """Prolong the lease and tell the watchers. False: it was lost or the job stopped; the work is no longer wanted."""
    with transaction.atomic():
        held = BatchShard.objects.filter(
            pk=lease.shard.id, state=Shard.RUNNING, lease_token=lease.token
        ).update(lease_until=_lease_end(timezone.now()), rows_done=rows_done, rows_bad=rows_bad)
        if held:
            publish(BatchJob.objects.get(pk=lease.job.id))  # it may have been paused meanwhile
    return bool(held)


def complete(lease: Lease, *, rows_done: int, rows_bad: int, sha256: str) -> bool:
    """Make the shard's result count, if the lease is still held. The last one sends the join."""
    with transaction.atomic():
        job = lock_job(lease.job.id)
        shard = _held(lease)
        if job is None or shard is None or job.state not in UNDER_WAY:
            return False
        SHARD_STATES.check(shard.state, Shard.DONE)
        shard.state = Shard.DONE
        shard.rows_done, shard.rows_bad, shard.result_sha256 = rows_done, rows_bad, sha256
        shard.lease_until = None
        shard.finished_at = timezone.now()
        shard.save(
            update_fields=["state", "rows_done", "rows_bad", "result_sha256", "lease_until", "finished_at"]
        )
        if job.state == Job.RUNNING and not job.shards.exclude(state=Shard.DONE).exists():
            job.sent_at = timezone.now()
            job.save(update_fields=["sent_at"])
            sent("batch.join", job, job_id=job.id)
        publish(job)
    return True


def give_up(lease: Lease, error: str) -> None:
    """The shard can never be computed (its model cannot be loaded, its file is gone): the job fails with it."""
    with transaction.atomic():
        job = lock_job(lease.job.id)
        shard = _held(lease)
        if job is not None and shard is not None and job.state in UNDER_WAY:
            _fail_shard(shard, job, error)


def postpone(lease: Lease, reason: str) -> None:
    """What the shard needs is out of reach for now: it waits and is sent again, and the attempt does not count."""
    log.warning("shard %s waits: %s", lease.shard.id, reason)
    with transaction.atomic():
        job = lock_job(lease.job.id)
        shard = _held(lease)
        if job is not None and shard is not None and job.state in UNDER_WAY:
            _put_off(shard)


def halt(lease: Lease, reason: str) -> None:
    """Only a person can bring what the shard needs: it waits, and its job pauses and says why."""
    with transaction.atomic():
        job = lock_job(lease.job.id)
        shard = _held(lease)
        if job is not None and shard is not None and job.state in UNDER_WAY:
            _put_off(shard)
            pause_by_itself(job, reason)


def _held(lease: Lease) -> BatchShard | None:
    rows = BatchShard.objects.select_for_update(of=("self",))
    return rows.filter(pk=lease.shard.id, state=Shard.RUNNING, lease_token=lease.token).first()


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.BATCH_LEASE_S)


def release(shard: BatchShard) -> None:
    """A locked shard waits again: nobody works on it."""
    SHARD_STATES.check(shard.state, Shard.WAITING)
    shard.state = Shard.WAITING
    shard.lease_until = shard.lease_token = None
    shard.save(update_fields=["state", "lease_until", "lease_token"])


def _put_off(shard: BatchShard) -> None:
    release(shard)
    shard.attempts -= 1
    shard.rows_done = shard.rows_bad = 0
    shard.sent_at = timezone.now()
    shard.save(update_fields=["attempts", "rows_done", "rows_bad", "sent_at"])


def _fail_shard(shard: BatchShard, job: BatchJob, error: str) -> None:
    SHARD_STATES.check(shard.state, Shard.FAILED)
    shard.state = Shard.FAILED
    shard.error = error[:2000]
    shard.lease_until = shard.lease_token = None
    shard.finished_at = timezone.now()
    shard.save(update_fields=["state", "error", "lease_until", "lease_token", "finished_at"])
    fail(job, error)
