"""Cutting a batch job into shards: the file is read once, and every shard knows where its rows begin and end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from governance.keys.errors import KeyDestroyed, Unsealable
from inference.serving.batch import files
from inference.serving.batch.ending import fail, lock_job, sent
from inference.serving.batch.events import publish
from inference.serving.batch.pausing import is_full, no_room, pause_by_itself
from inference.serving.batch.reading import RawRow, UnreadableFile, read_header, read_rows
from inference.serving.batch.states import JOB_STATES
from inference.serving.models import BatchJob, BatchShard

Job = BatchJob.State


def plan(job_id: UUID) -> None:
    """Read the file once, cut it into shards, and send them. A job that is planned already is left alone."""
    with transaction.atomic():
        job = BatchJob.objects.filter(pk=job_id, state=Job.QUEUED).first()
    if job is None:
        return
    problem, full, shards = "", False, list[BatchShard]()
    try:
        shards = _cut_parquet(job) if job.format == BatchJob.Format.PARQUET else list(_cut(job))
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
        locked = lock_job(job_id)
        if locked is None or locked.state != Job.QUEUED:
            return
        if full:
            pause_by_itself(locked, problem)
            return
        if problem:
            fail(locked, problem)
            return
        JOB_STATES.check(locked.state, Job.RUNNING)
        locked.state = Job.RUNNING
        locked.row_count = rows
        locked.started_at = locked.sent_at = timezone.now()
        locked.save(update_fields=["state", "row_count", "started_at", "sent_at"])
        BatchShard.objects.bulk_create(shards, batch_size=1000)
        for shard in shards:
            if not sent("batch.run_shard", locked, shard_id=shard.id):
                break
        publish(locked)


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


def _cut_parquet(job: BatchJob) -> list[BatchShard]:
    """Write the rows in segments that are read alone, one for each shard."""
    from inference.serving.batch import columns  # Arrow is large, and only these jobs need it

    shards: list[BatchShard] = []

    def pieces(reader: BinaryIO) -> Iterator[bytes]:
        byte, row = 0, 1
        for segment, count in columns.segments(
            reader,
            rows=settings.BATCH_SHARD_ROWS,
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
