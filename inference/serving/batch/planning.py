"""Cutting a batch job into shards: the file is read once, and every shard knows where its rows begin and end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from governance.data.house_reads import keep_house_read
from governance.errors import Unavailable
from governance.keys.errors import KeyDestroyed, Unsealable
from inference.serving.batch import files
from inference.serving.batch.attempts import PLANNING, Alive, claim, counted, let_go, put_off
from inference.serving.batch.cataloguing import input_ref
from inference.serving.batch.ending import fail, lock_job, sent
from inference.serving.batch.events import publish
from inference.serving.batch.fetching import fetch
from inference.serving.batch.pausing import is_full, no_room, pause_by_itself
from inference.serving.batch.reading import RawRow, UnreadableFile, read_header, read_rows
from inference.serving.batch.states import JOB_STATES
from inference.serving.models import BatchJob, BatchShard

log = logging.getLogger(__name__)

# Shards grow only where a job has so many all the same, for its workers to share and its watchers to see.
SHARDS = 16
Job = BatchJob.State


def plan(job_id: UUID) -> None:
    """Fetch the input if it is a dataset's, read it once, cut it into shards, and send them.

    A job that is planned already, or that another worker is planning, is left alone.
    """
    job = claim(job_id, PLANNING)
    if job is not None:
        with counted(job_id, PLANNING):
            _plan(job, Alive(job_id, PLANNING))


def _plan(job: BatchJob, alive: Alive) -> None:
    problem, full, shards = "", False, list[BatchShard]()
    try:
        fetch(job, alive)
        keep_house_read(input_ref(job), tenant_id=job.tenant_id, use="plan a batch job")
        shards = _cut_parquet(job, alive) if job.format == BatchJob.Format.PARQUET else list(_cut(job, alive))
    except Unavailable as error:
        log.warning("batch job %s waits: %s", job.id, error)
        put_off(job.id, PLANNING)
        return
    except (UnreadableFile, Unsealable, KeyDestroyed) as error:
        problem = str(error)
    except OSError as error:
        full = is_full(error)
        problem = no_room() if full else f"The uploaded file cannot be read: {error.strerror}."
    rows = sum(shard.row_count for shard in shards)
    if not problem and not rows:
        problem = "The file has no rows."
    if rows > settings.BATCH_MAX_ROWS:
        problem = f"The file has more than {settings.BATCH_MAX_ROWS} rows; split it."
    with transaction.atomic():
        locked = lock_job(job.id)
        if locked is None or locked.state != Job.QUEUED:
            if locked is not None:
                _left(locked)
            return
        if full:
            let_go(locked, PLANNING)
            pause_by_itself(locked, problem)
            return
        if problem:
            fail(locked, problem)
            return
        JOB_STATES.check(locked.state, Job.RUNNING)
        locked.state = Job.RUNNING
        locked.row_count = rows
        locked.started_at = locked.sent_at = timezone.now()
        locked.planned_until = None
        locked.save(update_fields=["state", "row_count", "started_at", "sent_at", "planned_until"])
        BatchShard.objects.bulk_create(shards, batch_size=1000)
        for shard in shards:
            if not sent("batch.run_shard", locked, shard_id=shard.id):
                break
        publish(locked)


def _left(job: BatchJob) -> None:
    """The job was paused, ended or planned by another meanwhile. A copy of what may be erased does not outlive it."""
    if job.state == Job.PAUSED:
        let_go(job, PLANNING)
    elif job.dataset_id is not None and job.finished_at is not None and job.started_at is None:
        files.input_path(job).delete()


def _cut(job: BatchJob, alive: Alive) -> Iterator[BatchShard]:
    path = files.input_path(job)
    if job.format == BatchJob.Format.CSV:
        read_header(path)
    index, rows = 0, 0
    enough = min(settings.BATCH_SHARD_BYTES, job.input_bytes // SHARDS)
    first: RawRow | None = None
    last: RawRow | None = None
    for row in read_rows(path, job.format):
        if first is None:
            first = row
        last = row
        rows += 1
        if row.row > settings.BATCH_MAX_ROWS:
            break
        if rows >= settings.BATCH_SHARD_ROWS and (
            rows >= settings.BATCH_SHARD_MOST_ROWS or row.end - first.start >= enough
        ):
            yield _shard(job, index, first, last, rows)
            alive()
            index, rows, first = index + 1, 0, None
    if first is not None and last is not None:
        yield _shard(job, index, first, last, rows)


def _rows_of_a_shard(count: int, row_bytes: int) -> int:
    """What a shard costs beside its rows is the same for few and for many: short rows come in longer shards."""
    most = min(
        settings.BATCH_SHARD_MOST_ROWS, settings.BATCH_SHARD_BYTES // max(row_bytes, 1), count // SHARDS
    )
    return max(settings.BATCH_SHARD_ROWS, most)


def _cut_parquet(job: BatchJob, alive: Alive) -> list[BatchShard]:
    """Write the rows in segments that are read alone, one for each shard."""
    from inference.serving.batch import columns  # Arrow is large, and only these jobs need it

    shards: list[BatchShard] = []

    def pieces(reader: BinaryIO) -> Iterator[bytes]:
        byte, row = 0, 1
        for segment, count in columns.segments(
            reader,
            rows=_rows_of_a_shard,
            most_rows=settings.BATCH_MAX_ROWS,
            most_bytes=columns.MAX_GROWTH * settings.BATCH_UPLOAD_MAX_BYTES,
        ):
            end = byte + len(segment)
            shards.append(
                BatchShard(
                    tenant_id=job.tenant_id,
                    job=job,
                    index=len(shards),
                    first_row=row,
                    first_line=row,
                    row_count=count,
                    byte_start=byte,
                    byte_end=end,
                )
            )
            yield segment
            alive()
            byte, row = end, row + count

    with files.input_path(job).open() as reader:
        files.segments_path(job).write(pieces(reader), over=True)
    return shards


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
