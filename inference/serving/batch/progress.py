"""What workers do with batch jobs: plan, lease shards, renew, finish, join, and take over from the dead.

The rows are the truth. A message that arrives twice, late or never changes nothing but the time it takes: a shard is
computed by whoever holds its lease, and its result counts only while that is so. Locks are always taken job first.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.services import record_refusal
from governance.audit.services import record
from governance.data.placement import PlacementRefused, on_refusal
from governance.ethics.selectors import without_approval
from governance.ids import uuid7
from governance.keys.errors import KeyDestroyed, Unsealable
from governance.keys.storage import Written
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from inference.serving.batch import files
from inference.serving.batch.events import publish
from inference.serving.batch.in_service import OutOfService, require_in_service
from inference.serving.batch.reading import RawRow, UnreadableFile, read_header, read_rows
from inference.serving.batch.services import end_job, send
from inference.serving.batch.states import JOB_STATES, SHARD_STATES
from inference.serving.models import BatchJob, BatchShard

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
MAX_RESUMED = 500
Job = BatchJob.State
Shard = BatchShard.State


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to compute one shard, as long as `renew` says so."""

    shard: BatchShard
    job: BatchJob
    token: UUID


def plan(job_id: UUID) -> None:
    """Read the file once, cut it into shards, and send them. A job that is planned already is left alone."""
    with transaction.atomic():
        job = BatchJob.objects.filter(pk=job_id, state=Job.QUEUED).first()
    if job is None:
        return
    problem, shards = "", list[BatchShard]()
    try:
        shards = list(_cut(job))
    except (UnreadableFile, Unsealable, KeyDestroyed) as error:
        problem = str(error)
    except OSError as error:
        problem = f"The uploaded file cannot be read: {error.strerror}."
    rows = sum(shard.row_count for shard in shards)
    if not problem and not rows:
        problem = "The file has no rows."
    if rows > settings.BATCH_MAX_ROWS:
        problem = f"The file has more than {settings.BATCH_MAX_ROWS} rows; split it."
    with transaction.atomic():
        locked = _lock_job(job_id)
        if locked is None or locked.state != Job.QUEUED:
            return
        if problem:
            _fail(locked, problem)
            return
        JOB_STATES.check(locked.state, Job.RUNNING)
        locked.state = Job.RUNNING
        locked.row_count = rows
        locked.started_at = locked.sent_at = timezone.now()
        locked.save(update_fields=["state", "row_count", "started_at", "sent_at"])
        BatchShard.objects.bulk_create(shards, batch_size=1000)
        for shard in shards:
            if not _sent("batch.run_shard", locked, shard_id=shard.id):
                break
        publish(locked)


def claim(shard_id: UUID) -> Lease | None:
    """Lease a shard that waits, or whose last lease ran out. None when there is nothing to do.

    A job whose model was taken out of service meanwhile fails here, with the reason.
    """
    with transaction.atomic():
        rows = BatchShard.objects.filter(pk=shard_id).values_list("job_id", flat=True)
        job = _lock_job(rows[0]) if rows else None
        shard = BatchShard.objects.select_for_update(of=("self",)).filter(pk=shard_id).first()
        if job is None or shard is None or job.state != Job.RUNNING:
            return None
        now = timezone.now()
        if shard.state == Shard.RUNNING and shard.lease_until is not None and shard.lease_until <= now:
            _release(shard)
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
            publish(lease.job)
    return bool(held)


def complete(lease: Lease, *, rows_done: int, rows_bad: int, sha256: str) -> bool:
    """Make the shard's result count, if the lease is still held. The last one sends the join."""
    with transaction.atomic():
        job = _lock_job(lease.job.id)
        shard = _held(lease)
        if job is None or shard is None or job.state != Job.RUNNING:
            return False
        SHARD_STATES.check(shard.state, Shard.DONE)
        shard.state = Shard.DONE
        shard.rows_done, shard.rows_bad, shard.result_sha256 = rows_done, rows_bad, sha256
        shard.lease_until = None
        shard.finished_at = timezone.now()
        shard.save(
            update_fields=["state", "rows_done", "rows_bad", "result_sha256", "lease_until", "finished_at"]
        )
        if not job.shards.exclude(state=Shard.DONE).exists():
            job.sent_at = timezone.now()
            job.save(update_fields=["sent_at"])
            _sent("batch.join", job, job_id=job.id)
        publish(job)
    return True


def give_up(lease: Lease, error: str) -> None:
    """The shard can never be computed (its model cannot be loaded, its file is gone): the job fails with it."""
    with transaction.atomic():
        job = _lock_job(lease.job.id)
        shard = _held(lease)
        if job is not None and shard is not None and job.state == Job.RUNNING:
            _fail_shard(shard, job, error)


def postpone(lease: Lease, reason: str) -> None:
    """What the shard needs is out of reach for now: it waits and is sent again, and the attempt does not count."""
    log.warning("shard %s waits: %s", lease.shard.id, reason)
    with transaction.atomic():
        job = _lock_job(lease.job.id)
        shard = _held(lease)
        if job is not None and shard is not None and job.state == Job.RUNNING:
            _release(shard)
            shard.attempts -= 1
            shard.sent_at = timezone.now()
            shard.save(update_fields=["attempts", "sent_at"])


def end_revoked(reason: str, *, job_id: UUID | str = "", shard_id: UUID | str = "") -> None:
    """Whoever had the job done may no longer: it ends, what was computed is dropped, and it says why."""
    with transaction.atomic():
        if shard_id:
            job_id = BatchShard.objects.filter(pk=shard_id).values_list("job_id", flat=True)[:1].get()
        job = _lock_job(UUID(str(job_id)))
        if job is not None and job.finished_at is None:
            end_job(job, Job.CANCELLED, error=reason)
            _record(job, "serving.batch.cancel", reason)
            transaction.on_commit(lambda: files.tidy(job))


def join(job_id: UUID) -> None:
    """Put the shards' results together in the order of the rows. Of two attempts one counts; the other's file goes."""
    with transaction.atomic():
        job = BatchJob.objects.filter(pk=job_id, state=Job.RUNNING).first()
        shards = list(job.shards.order_by("index")) if job else []
    if job is None or not shards or any(shard.state != Shard.DONE for shard in shards):
        return
    problem, attempt = "", uuid7()
    joined = files.joined_path(job, attempt)
    written = Written(sha256="", size_bytes=0)
    try:
        written = joined.write(_parts(job, shards))
    except (OSError, ValueError, Unsealable, KeyDestroyed) as error:
        problem = f"The parts of the result cannot be joined: {error}"
    with transaction.atomic():
        locked = _lock_job(job_id)
        if locked is None or locked.state != Job.RUNNING:
            joined.delete()
            return
        if problem:
            _fail(locked, problem)
            return
        locked.rows_bad = sum(shard.rows_bad for shard in shards)
        locked.rows_ok = sum(shard.rows_done for shard in shards) - locked.rows_bad
        locked.result_id, locked.result_sha256, locked.result_bytes = (
            attempt,
            written.sha256,
            written.size_bytes,
        )
        locked.save(update_fields=["rows_ok", "rows_bad", "result_id", "result_sha256", "result_bytes"])
        end_job(locked, Job.SUCCEEDED)
        _record(locked, "serving.batch.succeed", "")
        transaction.on_commit(lambda: files.tidy(job))


def resume_stalled() -> int:
    """Send again what nobody works on: leases that ran out, and messages that must have been lost. Returns how many."""
    now = timezone.now()
    lease = timedelta(seconds=settings.BATCH_LEASE_S)
    with platform_scope(), transaction.atomic():
        live = BatchShard.objects.filter(job=OuterRef("job"), state=Shard.RUNNING, lease_until__gt=now)
        open_shards = BatchShard.objects.select_for_update(of=("self",), skip_locked=True).filter(
            job__state=Job.RUNNING
        )
        lapsed = list(open_shards.filter(state=Shard.RUNNING, lease_until__lte=now)[:MAX_RESUMED])
        for shard in lapsed:
            _release(shard)
        # A shard may wait long behind others; only a job that nobody works on is suspected, ever more rarely.
        waiting = [
            shard
            for shard in open_shards.filter(~Exists(live), state=Shard.WAITING, sent_at__lte=now - lease)[
                :MAX_RESUMED
            ]
            if shard.sent_at <= now - lease * 2 ** min(shard.sent_count - 1, 8)
        ]
        for shard in {shard.id: shard for shard in (*lapsed, *waiting)}.values():
            _send_again(shard)
        stalled = BatchJob.objects.select_for_update(skip_locked=True).filter(sent_at__lte=now - 2 * lease)
        unfinished = BatchShard.objects.filter(job=OuterRef("pk")).exclude(state=Shard.DONE)
        unplanned = list(stalled.filter(state=Job.QUEUED)[:MAX_RESUMED])
        unjoined = list(stalled.filter(~Exists(unfinished), state=Job.RUNNING)[:MAX_RESUMED])
        for name, jobs in (("batch.plan", unplanned), ("batch.join", unjoined)):
            for job in jobs:
                BatchJob.objects.filter(pk=job.pk).update(sent_at=now)
                with tenant_context(job.tenant_id):
                    _sent(name, job, job_id=job.id)
        return len(lapsed) + len(waiting) + len(unplanned) + len(unjoined)


def end_refused(arguments: Mapping[str, Any], refusal: PlacementRefused) -> None:
    """No pool may do the job's work any more, because a label has risen since: it fails and says by which rule."""
    with transaction.atomic():
        job_id = arguments.get("job_id")
        if job_id is None:
            rows = BatchShard.objects.filter(pk=arguments["shard_id"]).values_list("job_id", flat=True)
            job_id = rows[0] if rows else uuid7()
        job = _lock_job(UUID(str(job_id)))
        if job is not None and job.finished_at is None:
            _fail(job, str(refusal))


def register_refusals() -> None:
    """Tell the placer how the tasks of this module end."""
    for name in ("batch.plan", "batch.run_shard", "batch.join"):
        on_refusal(name, end_refused)


def _sent(name: str, job: BatchJob, **arguments: UUID) -> bool:
    """Queue a step of the job; when no pool may do it any more the job fails, and the audit log keeps why."""
    try:
        send(name, job, **arguments)
    except PlacementRefused as refusal:
        record_refusal(refusal)
        job.refresh_from_db(from_queryset=BatchJob.objects.select_for_update(of=("self",)))
        if job.finished_at is None:
            _fail(job, str(refusal))
        return False
    return True


def _cut(job: BatchJob) -> Iterator[BatchShard]:
    path = files.input_path(job)
    if job.format == BatchJob.Format.CSV:
        read_header(path)
    index, rows = 0, 0
    first: RawRow | None = None
    last: RawRow | None = None
    for row in read_rows(path, job.format):
        if first is None:
            first = row
        last = row
        rows += 1
        if row.row > settings.BATCH_MAX_ROWS:
            break
        if rows == settings.BATCH_SHARD_ROWS:
            yield _shard(job, index, first, last, rows)
            index, rows, first = index + 1, 0, None
    if first is not None and last is not None:
        yield _shard(job, index, first, last, rows)


def _shard(job: BatchJob, index: int, first: RawRow, last: RawRow, rows: int) -> BatchShard:
    return BatchShard(
        tenant_id=job.tenant_id,
        job=job,
        index=index,
        first_row=first.row,
        first_line=first.line,
        row_count=rows,
        byte_start=first.start,
        byte_end=last.end,
    )


def _parts(job: BatchJob, shards: list[BatchShard]) -> Iterator[bytes]:
    """The bytes of every shard's result. Raises ValueError when one is not what its row says."""
    for shard in shards:
        if shard.lease_token is None:
            raise ValueError(f"part {shard.index} has no result")
        digest = hashlib.sha256()
        with files.shard_path(job, shard.index, shard.lease_token, shard.result_sha256).open() as reader:
            while chunk := reader.read(files.CHUNK_BYTES):
                digest.update(chunk)
                yield chunk
        if digest.hexdigest() != shard.result_sha256:
            raise ValueError(f"part {shard.index} was changed on disk")


def _lock_job(job_id: UUID) -> BatchJob | None:
    return BatchJob.objects.select_for_update(of=("self",)).filter(pk=job_id).first()


def _held(lease: Lease) -> BatchShard | None:
    rows = BatchShard.objects.select_for_update(of=("self",))
    return rows.filter(pk=lease.shard.id, state=Shard.RUNNING, lease_token=lease.token).first()


def _lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.BATCH_LEASE_S)


def _release(shard: BatchShard) -> None:
    SHARD_STATES.check(shard.state, Shard.WAITING)
    shard.state = Shard.WAITING
    shard.lease_until = shard.lease_token = None
    shard.save(update_fields=["state", "lease_until", "lease_token"])


def _send_again(shard: BatchShard) -> None:
    BatchShard.objects.filter(pk=shard.pk).update(sent_at=timezone.now(), sent_count=F("sent_count") + 1)
    with tenant_context(shard.tenant_id):
        _sent("batch.run_shard", shard.job, shard_id=shard.id)


def _fail_shard(shard: BatchShard, job: BatchJob, error: str) -> None:
    SHARD_STATES.check(shard.state, Shard.FAILED)
    shard.state = Shard.FAILED
    shard.error = error[:2000]
    shard.lease_until = shard.lease_token = None
    shard.finished_at = timezone.now()
    shard.save(update_fields=["state", "error", "lease_until", "lease_token", "finished_at"])
    _fail(job, error)


def _fail(job: BatchJob, error: str) -> None:
    end_job(job, Job.FAILED, error=error)
    _record(job, "serving.batch.fail", error)


def _record(job: BatchJob, action: str, reason: str) -> None:
    target = ObjectRef.of(job, digest=job.result_sha256 or job.input_sha256)
    record(principal=SYSTEM, action=action, target=target, tenant_id=job.tenant_id, reason=reason)
