"""Outcome records: one row per answered prediction, written behind the requests.

The hot route appends to a bounded buffer. Twice a second a task hands what is there to a thread, which writes it in one
statement. When the database does not keep up, records are dropped and counted; predictions never wait for them. The
counts of inputs (`input_counts`) go out beside them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from inference.serving import metrics
from inference.serving.input_counts import InputCounts

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Outcome:
    """What is known of one answer.

    `at` is when it was given; there is no version when it failed before one was chosen. `chosen` says how the version
    came to answer (see `routing`), `propensity` with which probability. `predicted` and `confidence` are known of
    classifications of one row. `mirror_of` is the answer that a shadow's outcome stands behind.
    """

    id: UUID
    tenant_id: UUID
    endpoint_id: UUID
    model_version_id: UUID | None
    at: datetime
    latency_us: int
    status: int
    rows: int
    bytes_in: int
    principal_id: str
    request_id: str
    chosen: str = ""
    propensity: float | None = None
    predicted: str = ""
    confidence: float | None = None
    mirror_of: UUID | None = None


class UnacceptableOutcome(Exception):
    """The database refuses a record for what it says (its tenant is gone, for example); trying again is no use."""


class OutcomeLog:
    """Buffers outcomes and writes them with `write`, a blocking function that takes at most `chunk` of them.

    `write` must do nothing for a record that it has written before, and raise UnacceptableOutcome when one of the
    batch can never be written.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Outcome]], None],
        *,
        capacity: int = 20_000,
        chunk: int = 5_000,
        interval_s: float = 0.5,
        inputs: InputCounts | None = None,
    ) -> None:
        self.inputs = inputs
        self._write = write
        self._capacity = capacity
        self._chunk = chunk
        self._interval_s = interval_s
        self._buffer: deque[Outcome] = deque()
        self._writing = threading.Lock()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._buffer)

    def add(self, outcome: Outcome) -> None:
        """Keep a record, or count it as dropped when the buffer is full."""
        if len(self._buffer) >= self._capacity:
            metrics.OUTCOMES_DROPPED.inc()
        else:
            self._buffer.append(outcome)

    def start(self) -> None:
        """Begin writing, in the running event loop."""
        self._task = asyncio.ensure_future(self._write_regularly())

    async def stop(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await asyncio.to_thread(self.flush)
        if self.inputs is not None:
            await asyncio.to_thread(self.inputs.flush)

    def flush(self) -> bool:
        """Write everything that is buffered now; False when the database is away. Called in a thread."""
        with self._writing:
            while self._buffer:
                batch = [self._buffer.popleft() for _ in range(min(self._chunk, len(self._buffer)))]
                try:
                    self._write_acceptable(batch)
                except Exception:
                    log.exception("%d outcome records could not be written; they are tried again", len(batch))
                    self._take_back(batch)
                    return False
        return True

    def _write_acceptable(self, batch: list[Outcome]) -> None:
        """Write a batch without the records that the database refuses as such: one must not hold up the others."""
        try:
            self._write(batch)
        except UnacceptableOutcome as error:
            if len(batch) == 1:
                log.warning("an outcome record of tenant %s was refused: %s", batch[0].tenant_id, error)
                metrics.OUTCOMES_DROPPED.inc()
                return
            middle = len(batch) // 2
            self._write_acceptable(batch[:middle])
            self._write_acceptable(batch[middle:])
        else:
            metrics.OUTCOMES_WRITTEN.inc(len(batch))

    def _take_back(self, batch: list[Outcome]) -> None:
        room = max(0, self._capacity - len(self._buffer))
        self._buffer.extendleft(reversed(batch[:room]))
        if len(batch) > room:
            metrics.OUTCOMES_DROPPED.inc(len(batch) - room)

    async def _write_regularly(self) -> None:
        pause_s = self._interval_s
        while True:
            await asyncio.sleep(pause_s)
            if self._buffer:
                written = await asyncio.to_thread(self.flush)
                pause_s = self._interval_s if written else min(2 * pause_s, 30.0)
            if self.inputs is not None and self.inputs.due:
                await asyncio.to_thread(self.inputs.flush)
