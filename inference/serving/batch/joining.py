"""Putting the results of a job's shards together, in the order of the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from uuid import UUID

from django.db import transaction

from governance.ids import uuid7
from governance.keys.errors import KeyDestroyed, Unsealable
from governance.keys.storage import Written
from inference.serving.batch import files
from inference.serving.batch.ending import fail, lock_job, record_end
from inference.serving.batch.pausing import is_full, no_room, pause_by_itself
from inference.serving.batch.services import end_job
from inference.serving.models import BatchJob, BatchShard

Job = BatchJob.State
Shard = BatchShard.State


def join(job_id: UUID) -> None:
    """Put the shards' results together in the order of the rows. Of two attempts one counts; the other's file goes."""
    with transaction.atomic():
        job = BatchJob.objects.filter(pk=job_id, state=Job.RUNNING).first()
        shards = list(job.shards.order_by("index")) if job else []
    if job is None or not shards or any(shard.state != Shard.DONE for shard in shards):
        return
    problem, full, attempt = "", False, uuid7()
    joined = files.joined_path(job, attempt)
    written = Written(sha256="", size_bytes=0)
    try:
        written = joined.write(_parts(job, shards))
    except OSError as error:
        full = is_full(error)
        problem = no_room() if full else f"The parts of the result cannot be joined: {error}"
    except (ValueError, Unsealable, KeyDestroyed) as error:
        problem = f"The parts of the result cannot be joined: {error}"
    with transaction.atomic():
        locked = lock_job(job_id)
        if locked is None or locked.state != Job.RUNNING:
            joined.delete()
            return
        if full:
            pause_by_itself(locked, problem)
            return
        if problem:
            fail(locked, problem)
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
        record_end(locked, "serving.batch.succeed", "")
        transaction.on_commit(lambda: files.tidy(job))


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
