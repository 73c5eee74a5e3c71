"""Micro-batching without a time window: a batch is what queued up while the last one ran.

A fixed window costs every lone request its length and brings nothing that the queue does not bring by itself under
load (measured: with 2 ms, one connection falls from 3,360 to 314 requests/s). So one thread per loaded model takes the
oldest entry, adds those behind it that may be computed with it, runs them, and hands every caller its own rows.

A client's own batch is never split. Only rows of models whose rows are independent are put together.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from inference.serving.datatypes import Tensors
from inference.serving.errors import Overloaded, ProtocolError

log = logging.getLogger(__name__)

Predict = Callable[[Tensors], Tensors]
Observe = Callable[[int], None]
Gone = Callable[[], Coroutine[Any, Any, None]]

SWEEP_INTERVAL_S = 0.05


class DeadlineExceeded(ProtocolError):
    """The caller's time ran out before its rows were computed."""

    def __init__(self) -> None:
        super().__init__(504, "the deadline passed before the prediction was made")


class CallerGone(Exception):
    """Nobody waits for the answer any more."""


@dataclass(eq=False, slots=True)
class Entry:
    """One caller's rows. `form` is what must agree between rows of one batch: names, datatypes, other dimensions."""

    inputs: Tensors
    rows: int
    form: tuple[object, ...]
    future: asyncio.Future[Tensors]
    deadline: float
    queued_at: float = field(default_factory=time.monotonic)
    gone: Gone | None = None
    watch: asyncio.Future[None] | None = None


class Batcher:
    """Runs one model, in one thread, for many callers of one event loop.

    `max_rows` bounds what is put together, `max_queued` how many requests may be waiting or running. `batchable` says
    whether rows of several callers may share a run at all. `observe` is called with the rows of every run.
    """

    def __init__(
        self,
        predict: Predict,
        *,
        name: str,
        batchable: bool,
        max_rows: int = 32,
        max_queued: int = 256,
        observe: Observe | None = None,
    ) -> None:
        self.batchable = batchable
        self._predict = predict
        self._name = name
        self._max_rows = max_rows
        self._max_queued = max_queued
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._held: Entry | None = None
        self._pending: dict[Entry, None] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._closing = False
        self._drained = asyncio.Event()
        self._drained.set()
        self._thread = threading.Thread(target=self._work, name=f"model {name}", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """How many requests are waiting or running."""
        return len(self._pending)

    async def predict(
        self, inputs: Tensors, *, rows: int, deadline: float, gone: Gone | None = None
    ) -> Tensors:
        """The outputs for these inputs.

        `deadline` is on `time.monotonic`'s clock. `gone` is a coroutine function that ends when the caller has hung
        up; it is started only where the answer takes longer than a sweep (50 ms), because watching costs as much as
        a small prediction. Cancelling the call takes the rows out of the queue. Raises Overloaded,
        DeadlineExceeded, CallerGone, PredictError.
        """
        if self._closing:
            raise Overloaded("this model version is being unloaded; try again")
        if len(self._pending) >= self._max_queued:
            raise Overloaded(
                f"{self._max_queued} requests are already waiting for this model; try again shortly"
            )
        form: tuple[object, ...] = ()
        if self.batchable:
            form = tuple((name, tensor.shape[1:]) for name, tensor in inputs.items())
        entry = Entry(inputs, rows, form, self._loop.create_future(), deadline, gone=gone)
        self._pending[entry] = None
        if self._sweep is None:
            self._drained.clear()
            self._sweep = self._loop.call_later(SWEEP_INTERVAL_S, self._check_waiting)
        self._queue.put(entry)
        try:
            return await entry.future
        finally:
            del self._pending[entry]
            if entry.watch is not None:
                entry.watch.cancel()

    async def close(self) -> None:
        """Finish what was accepted, then end the thread."""
        while self._pending:
            await self._drained.wait()
        self._closing = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _check_waiting(self) -> None:
        """End what is past its deadline, and let what waits long watch its caller. Runs only while there is work."""
        now = time.monotonic()
        for entry in list(self._pending):
            if now >= entry.deadline:
                if not entry.future.done():
                    entry.future.set_exception(DeadlineExceeded())
            elif entry.gone is not None and entry.watch is None and now - entry.queued_at >= SWEEP_INTERVAL_S:
                entry.watch = asyncio.ensure_future(_watch(entry, entry.gone))
        if self._pending:
            self._sweep = self._loop.call_later(SWEEP_INTERVAL_S, self._check_waiting)
        else:
            self._sweep = None
            self._drained.set()

    # --- The model's thread ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (batch := self._take()) is not None:
            if not batch:
                continue
            answers = self._run(batch)
            try:
                self._loop.call_soon_threadsafe(_deliver, batch, answers)
            except RuntimeError:
                return  # The loop was closed: nobody is left to be answered.
            del batch, answers  # An idle thread keeps no caller's tensors.

    def _take(self) -> list[Entry] | None:
        """The oldest entry and those right behind it that fit. None ends the thread."""
        first = self._held or self._queue.get()
        self._held = None
        if first is None:
            return None
        if first.future.done():
            return []
        batch, rows = [first], first.rows
        while self.batchable and rows < self._max_rows:
            try:
                entry = self._queue.get_nowait()
            except Empty:
                break
            if entry is None:
                self._queue.put(None)
                break
            if entry.future.done():
                continue
            if entry.form != first.form or rows + entry.rows > self._max_rows:
                self._held = entry
                break
            batch.append(entry)
            rows += entry.rows
        return batch

    def _run(self, batch: list[Entry]) -> list[Tensors | Exception]:
        if len(batch) == 1:
            return [self._run_alone(batch[0])]
        rows = sum(entry.rows for entry in batch)
        try:
            outputs = self._predict(
                {name: np.concatenate([entry.inputs[name] for entry in batch]) for name in batch[0].inputs}
            )
        except Exception:  # noqa: BLE001  whatever the runtime raised
            # One caller's input must not fail the others'; alone, each gets its own answer or error.
            return [self._run_alone(entry) for entry in batch]
        if any(tensor.shape[:1] != (rows,) for tensor in outputs.values()):
            log.error(
                "model %s gave another number of rows than it took: it is not batched any more", self._name
            )
            self.batchable = False
            return [self._run_alone(entry) for entry in batch]
        if self._observe is not None:
            self._observe(rows)
        answers: list[Tensors | Exception] = []
        start = 0
        for entry in batch:
            end = start + entry.rows
            answers.append({name: tensor[start:end] for name, tensor in outputs.items()})
            start = end
        return answers

    def _run_alone(self, entry: Entry) -> Tensors | Exception:
        try:
            outputs = self._predict(entry.inputs)
        except Exception as error:  # noqa: BLE001  it is the caller's answer, not this thread's end
            return error
        if self._observe is not None:
            self._observe(entry.rows)
        return outputs


async def _watch(entry: Entry, gone: Gone) -> None:
    await gone()
    if not entry.future.done():
        entry.future.set_exception(CallerGone())


def _deliver(batch: list[Entry], answers: list[Tensors | Exception]) -> None:
    for entry, answer in zip(batch, answers, strict=True):
        if entry.future.done():
            continue
        if isinstance(answer, Exception):
            entry.future.set_exception(answer)
        else:
            entry.future.set_result(answer)
