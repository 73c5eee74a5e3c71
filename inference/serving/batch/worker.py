"""Computing one shard: read its rows, run the model, write its result, keep the lease."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from uuid import UUID

from django.conf import settings

from governance.data.house_reads import keep_house_read
from governance.errors import Unavailable
from governance.keys.errors import KeyDestroyed, Unsealable
from governance.oversight.duties import limits_of
from governance.tenants.checkpoints import checkpoint
from inference.registry.artifacts import ArtifactAway
from inference.serving.batch import files, progress
from inference.serving.batch.cataloguing import input_ref
from inference.serving.batch.in_service import OutOfService, require_in_service
from inference.serving.batch.loading import Loaded, load
from inference.serving.batch.pausing import is_full, no_room
from inference.serving.batch.progress import Lease
from inference.serving.batch.reading import Place, UnreadableFile, read_header, read_rows
from inference.serving.batch.results import Form, JsonLines
from inference.serving.batch.services import cause_of
from inference.serving.batch.steps import Source, TextSource, answer
from inference.serving.errors import Overloaded
from inference.serving.models import BatchJob, BatchShard
from inference.serving.runtime import LoadError
from inference.serving.signature import Signature

log = logging.getLogger(__name__)

MAX_TOGETHER = 256
STEP_BYTES = 4 << 20  # of the input, so that large rows do not fill the memory
# A step grows while it takes less than this, so that the lease is renewed in time however slow the model is.
STEP_S = 0.5
QUICKER = 8


class LeaseLost(Exception):
    """Somebody else has the shard, or nobody wants it any more."""


def run_shard(shard_id: UUID) -> None:
    """Compute a shard if its lease can be had; a message that came twice does nothing."""
    lease = progress.claim(shard_id)
    if lease is None:
        return
    version = lease.job.model_version
    path = files.shard_path(lease.job, lease.shard.index, lease.token)
    shard_rows = _Rows(lease)
    try:
        shard_rows.prepare()
        written = path.sealed.write(shard_rows.pieces())
    except LeaseLost:
        log.info("shard %s: the lease is gone, the work is dropped", shard_id)
        return
    except Overloaded as error:
        if not shard_rows.elsewhere:
            raise  # its process ended: that counts as an attempt, for one of the rows may be the cause
        progress.postpone(lease, error.message)
        return
    except OutOfService as error:
        progress.give_up(lease, str(error))
        return
    except Unavailable as error:
        progress.postpone(lease, str(error))
        return
    except LoadError as error:
        if isinstance(error.__cause__, ArtifactAway):
            progress.postpone(lease, str(error))
            return
        progress.give_up(lease, f"Version {version.version} cannot be loaded: {error}")
        return
    except (UnreadableFile, FileNotFoundError, ValueError, Unsealable, KeyDestroyed) as error:
        progress.give_up(lease, f"The file cannot be read: {error}")
        return
    except OSError as error:
        if not is_full(error):
            raise
        log.warning("shard %s: %s", shard_id, error)
        progress.halt(lease, no_room())
        return
    if not progress.complete(
        lease, rows_done=shard_rows.done, rows_bad=shard_rows.bad, sha256=written.sha256
    ):
        path.delete()


class _Rows:
    """The rows of one shard, computed while its result is written."""

    def __init__(self, lease: Lease) -> None:
        self.done = self.bad = 0
        self._loaded: Loaded | None = None
        self._lease = lease
        self._cause = cause_of(lease.job)
        self._renewed = time.monotonic()

    def prepare(self) -> None:
        """Load the model and open the rows. Raises LoadError, UnreadableFile."""
        job = self._lease.job
        version = job.model_version
        self._loaded = loaded = load(version)
        keep_house_read(input_ref(job), tenant_id=job.tenant_id, use="compute a batch job", once=True)
        self._source = _source(job, self._lease.shard)
        self._form = _form(job, loaded.signature)
        row_bytes = (self._lease.shard.byte_end - self._lease.shard.byte_start) // self._lease.shard.row_count
        self._most = min(MAX_TOGETHER, max(STEP_BYTES // max(row_bytes, 1), 1))

    @property
    def elsewhere(self) -> bool:
        """Whether another server computes, or should."""
        return self._loaded is None or not self._loaded.runtime.computes_here

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the result, every row in its order.

        Raises LeaseLost, Revoked, OutOfService, and ValueError when the file is not as planned.
        """
        shard, version, loaded = self._lease.shard, self._lease.job.model_version, self._loaded
        assert loaded is not None, "the rows are prepared first"
        yield self._form.head()
        size = 1
        while (step := self._source.take(size)) is not None:
            started = time.monotonic()
            answers = answer(step, loaded.runtime, loaded.signature, together=loaded.together)
            yield self._form.rows(answers)
            self.done += len(step.rows)
            self.bad += answers.bad
            checkpoint(self._cause)
            require_in_service(version)
            now = time.monotonic()
            if now - started < STEP_S / QUICKER:
                size = min(QUICKER * size, self._most)
            elif now - started < STEP_S:
                size = min(2 * size, self._most)
            elif now - started > 2 * STEP_S:
                size = max(size // 2, 1)
            if now - self._renewed > settings.BATCH_RENEW_S:
                self._renewed = now
                if not progress.renew(self._lease, rows_done=self.done, rows_bad=self.bad):
                    raise LeaseLost
        if self.done != shard.row_count:
            raise ValueError(f"{shard.row_count} rows were planned, {self.done} are there")
        yield self._form.tail()


def _source(job: BatchJob, shard: BatchShard) -> Source:
    if job.format == BatchJob.Format.PARQUET:
        from inference.serving.batch.table_steps import (
            TableSource,  # Arrow is large, and only these jobs need it
        )

        with files.segments_path(job).open() as reader:
            reader.seek(shard.byte_start)
            return TableSource(reader.read(shard.byte_end - shard.byte_start), shard.first_row)
    upload = files.input_path(job)
    columns = read_header(upload) if job.format == BatchJob.Format.CSV else []
    place = Place(shard.byte_start, shard.first_row, shard.first_line, shard.byte_end)
    return TextSource(read_rows(upload, job.format, place), columns)


def _form(job: BatchJob, signature: Signature) -> Form:
    limits = limits_of(job.duties)
    if job.result_format == BatchJob.ResultFormat.PARQUET:
        from inference.serving.batch.table_results import ArrowRows  # as above

        return ArrowRows(signature, limits)
    return JsonLines(signature, limits)
