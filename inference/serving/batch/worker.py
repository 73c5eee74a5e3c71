"""Computing one shard: read its rows, run the model, write its result, keep the lease."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from uuid import UUID

import orjson
from django.conf import settings

from governance.errors import Unavailable
from governance.keys.errors import KeyDestroyed, Unsealable
from governance.oversight.duties import limits_of
from governance.tenants.checkpoints import checkpoint
from inference.registry.artifacts import ArtifactAway, SealedArtifact
from inference.serving.batch import files, progress
from inference.serving.batch.in_service import OutOfService, require_in_service
from inference.serving.batch.pausing import is_full, no_room
from inference.serving.batch.progress import Lease
from inference.serving.batch.reading import Place, RawRow, UnreadableFile, read_header, read_rows
from inference.serving.batch.rows import BadRow, predict_rows, result_line, tensors_of_row, values_of
from inference.serving.batch.services import cause_of
from inference.serving.datatypes import Tensors
from inference.serving.models import BatchJob
from inference.serving.runtime import LoadError, OnnxRuntime, Runtime
from inference.serving.signature import Signature

log = logging.getLogger(__name__)

MAX_TOGETHER = 64
# A step grows while it takes less than this, so that the lease is renewed in time however slow the model is.
STEP_S = 0.5


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
        written = path.sealed.write(shard_rows.lines())
    except LeaseLost:
        log.info("shard %s: the lease is gone, the work is dropped", shard_id)
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
    """The lines of one shard's result, made while they are written."""

    def __init__(self, lease: Lease) -> None:
        self.done = self.bad = 0
        self._lease = lease
        self._cause = cause_of(lease.job)
        self._limits = limits_of(lease.job.duties)
        version = lease.job.model_version
        self._declared = orjson.dumps([version.inputs, version.outputs])
        self._renewed = time.monotonic()
        self._columns: list[str] = []

    def prepare(self) -> None:
        """Load the model and read the header. Raises LoadError, UnreadableFile."""
        version = self._lease.job.model_version
        self._runtime, self._signature, self._together = _load(
            version.artifact, version.sha256, self._declared
        )
        if self._lease.job.format == BatchJob.Format.CSV:
            self._columns = read_header(files.input_path(self._lease.job))

    def lines(self) -> Iterator[bytes]:
        """Every row's line, in order.

        Raises LeaseLost, Revoked, OutOfService, and ValueError when the file is not as planned.
        """
        shard, job = self._lease.shard, self._lease.job
        place = Place(shard.byte_start, shard.first_row, shard.first_line, shard.byte_end)
        rows = read_rows(files.input_path(job), job.format, place)
        size = 1
        while step := list(islice(rows, size)):
            started = time.monotonic()
            yield self._step(step)
            self.done += len(step)
            checkpoint(self._cause)
            require_in_service(job.model_version)
            now = time.monotonic()
            if now - started < STEP_S:
                size = min(2 * size, MAX_TOGETHER)
            elif now - started > 2 * STEP_S:
                size = max(size // 2, 1)
            if now - self._renewed > settings.BATCH_RENEW_S:
                self._renewed = now
                if not progress.renew(self._lease, rows_done=self.done, rows_bad=self.bad):
                    raise LeaseLost
        if self.done != shard.row_count:
            raise ValueError(f"{shard.row_count} rows were planned, {self.done} are there")

    def _step(self, step: list[RawRow]) -> bytes:
        answers: dict[int, Tensors | str] = {}
        good: list[tuple[int, Tensors]] = []
        for raw in step:
            try:
                good.append(
                    (raw.row, tensors_of_row(values_of(raw, self._signature, self._columns), self._signature))
                )
            except BadRow as error:
                answers[raw.row] = str(error)
        predicted = predict_rows(self._runtime, [tensors for _row, tensors in good], together=self._together)
        answers |= dict(zip([row for row, _tensors in good], predicted, strict=True))
        self.bad += sum(isinstance(answer, str) for answer in answers.values())
        return b"".join(result_line(raw, answers[raw.row], self._signature, self._limits) for raw in step)


@lru_cache(maxsize=2)
def _load(artifact: SealedArtifact, sha256: str, declared: bytes) -> tuple[Runtime, Signature, bool]:
    """The model of a version; the last two stay loaded in this worker process."""
    inputs, outputs = orjson.loads(declared)
    signature = Signature.declared(inputs, outputs)
    runtime = OnnxRuntime.load(artifact, sha256=sha256, signature=signature)
    return runtime, signature, runtime.rows_are_independent()
