"""Putting the results of a job's shards together, in the order of the rows."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, cast
from uuid import UUID

from django.db import transaction

from governance.data.house_reads import keep_house_read
from governance.errors import Unavailable
from governance.ids import uuid7
from governance.keys.errors import KeyDestroyed, Unsealable
from governance.keys.storage import Written
from inference.serving.batch import files
from inference.serving.batch.attempts import JOINING, Alive, claim, counted, let_go, put_off
from inference.serving.batch.cataloguing import result_ref
from inference.serving.batch.ending import fail, lock_job, record_end
from inference.serving.batch.pausing import is_full, no_room, pause_by_itself
from inference.serving.batch.services import end_job
from inference.serving.models import BatchJob, BatchShard
from inference.serving.signature import Signature

log = logging.getLogger(__name__)

Job = BatchJob.State
Shard = BatchShard.State


def join(job_id: UUID) -> None:
    """Put the shards' results together in the order of the rows.

    A job that another worker is joining is left alone. Of two attempts one counts; the other's file goes.
    """
    with transaction.atomic():
        open_shards = BatchShard.objects.filter(job=job_id).exclude(state=Shard.DONE)
        if open_shards.exists() or not BatchShard.objects.filter(job=job_id).exists():
            return
    job = claim(job_id, JOINING)
    if job is not None:
        with counted(job_id, JOINING):
            _join(job, Alive(job_id, JOINING))


def _join(job: BatchJob, alive: Alive) -> None:
    with transaction.atomic():
        job = BatchJob.objects.select_related("model_version").get(pk=job.id)
        shards = list(job.shards.order_by("index"))
    problem, full, attempt = "", False, uuid7()
    joined = files.joined_path(job, attempt)
    written = Written(sha256="", size_bytes=0)
    keep_house_read(result_ref(job), tenant_id=job.tenant_id, use="join a batch job's result")
    try:
        written = joined.write(_joined(job, shards, alive))
    except Unavailable as error:
        log.warning("batch job %s waits: %s", job.id, error)
        put_off(job.id, JOINING)
        return
    except (ValueError, FileNotFoundError, Unsealable, KeyDestroyed) as error:
        problem = f"The parts of the result cannot be joined: {error}"
    except OSError as error:
        if not is_full(error):
            raise  # it may pass
        problem, full = no_room(), True
    with transaction.atomic():
        locked = lock_job(job.id)
        if locked is None or locked.state != Job.RUNNING:
            joined.delete()
            if locked is not None and locked.state == Job.PAUSED:
                let_go(locked, JOINING)
            return
        if full:
            let_go(locked, JOINING)
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
        locked.joined_until = None
        locked.save(
            update_fields=[
                "rows_ok", "rows_bad", "result_id", "result_sha256", "result_bytes", "joined_until",
            ]
        )  # fmt: skip
        end_job(locked, Job.SUCCEEDED)
        record_end(locked, "serving.batch.succeed", "")
        transaction.on_commit(lambda: files.tidy(job))


def _joined(job: BatchJob, shards: list[BatchShard], alive: Alive) -> Iterator[bytes]:
    """The bytes of the whole result."""
    parts = _parts(job, shards)
    if job.result_format == BatchJob.ResultFormat.PARQUET:
        from inference.serving.batch import table_results  # Arrow is large, and only these jobs need it

        version = job.model_version
        pieces = table_results.parquet_of(Signature.declared(version.inputs, version.outputs), parts)
    else:
        pieces = (chunk for part in parts for chunk in iter(partial(part.read, files.CHUNK_BYTES), b""))
    for piece in pieces:
        yield piece
        alive()


def _parts(job: BatchJob, shards: list[BatchShard]) -> Iterator[BinaryIO]:
    """A reader of every shard's result. Raises ValueError when one was not what its row says."""
    for shard in shards:
        if shard.lease_token is None:
            raise ValueError(f"part {shard.index} has no result")
        with files.shard_path(job, shard.index, shard.lease_token, shard.result_sha256).open() as reader:
            digesting = _Digesting(reader)
            yield cast(BinaryIO, digesting)
            while digesting.read(files.CHUNK_BYTES):
                pass
        if digesting.digest.hexdigest() != shard.result_sha256:
            raise ValueError(f"part {shard.index} was changed on disk")


class _Digesting(io.RawIOBase):
    """What is read goes through a digest."""

    def __init__(self, reader: BinaryIO) -> None:
        super().__init__()
        self._reader = reader
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._reader.read(size)
        self.digest.update(data)
        return data
