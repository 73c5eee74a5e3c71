"""Micro-batching without a time window: a batch is what queued up while the last one ran.

A fixed window costs every lone request its length and brings nothing that the queue does not bring by itself under
load (measured: with 2 ms, one connection falls from 3,360 to 314 requests/s). So one thread per loaded model takes the
oldest entry, adds those behind it that may be computed with it, runs them, and hands every caller its own rows. Where
runs are long and a queue stands all the same, more threads do (lanes), one of which takes at a time.

A client's own batch is never split. Only rows of models whose rows are independent are put together. Only where a run
has a high fixed cost and requests come fast does the oldest entry wait for more (`pacing`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from uuid import UUID

import numpy as np

from inference.serving import metrics
from inference.serving.datatypes import Tensors
from inference.serving.entries import DeadlineExceeded, Entry, Gone, deliver, watch
from inference.serving.errors import Overloaded, would_wait
from inference.serving.fairness import NOBODY, Turns
from inference.serving.pacing import Pace
from inference.serving.statistics import ModelStatistics

log = logging.getLogger(__name__)

Predict = Callable[[Tensors], Tensors]
SWEEP_INTERVAL_S = 0.05
# What ends sooner is not worth another thread: handing over costs as much, and larger batches more than make up for it.
LANE_WORTH_S = 0.003
LANE_IDLE_S = 5.0


class Batcher:
    """Runs one model, in its own threads, for many callers of one event loop.

    `lanes` is how many runs there may be at once, `max_rows` bounds what is put together, `max_queued` how many
    requests may be waiting or running, `objective_s` how long the queue may stand. `batchable` says whether rows of
    several callers may share a run at all. `turns` shares the cores with other models; None: the model computes
    elsewhere.
    """

    def __init__(
        self,
        predict: Predict,
        *,
        name: str,
        batchable: bool,
        max_rows: int = 32,
        max_queued: int = 256,
        objective_s: float = 1.0,
        turns: Turns | None = None,
        lanes: int = 1,
    ) -> None:
        self.statistics = ModelStatistics()
        self.last_used = time.monotonic()
        self._pace = Pace(objective_s, max_rows, batchable)
        self._predict = predict
        self._name = name
        self._max_queued = max_queued
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._held: Entry | None = None
        self._pending: dict[Entry, None] = {}
        self._pending_rows = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._waited_s = 0.0  # what was taken last from the queue
        self._closing = False
        self._drained = asyncio.Event()
        self._drained.set()
        self._max_lanes = lanes
        self._taking, self._counting = threading.Lock(), threading.Lock()
        self._threads: list[threading.Thread] = []
        self._add_lane()

    @property
    def batchable(self) -> bool:
        """Whether rows of several callers share a run."""
        return self._pace.batchable

    @property
    def objective_s(self) -> float:
        """How long the queue may stand."""
        return self._pace.objective_s

    def aim(self, objective_s: float) -> None:
        """Follow another objective from the next request and batch on."""
        if objective_s != self._pace.objective_s:
            with self._counting:
                self._pace.aim(objective_s)

    @property
    def depth(self) -> int:
        """How many requests are waiting or running."""
        return len(self._pending)

    async def predict(
        self,
        inputs: Tensors,
        *,
        rows: int,
        deadline: float,
        gone: Gone | None = None,
        tenant: UUID = NOBODY,
        patient: bool = False,
    ) -> Tensors:
        """The outputs for these inputs.

        `deadline` is on `time.monotonic`'s clock. Whoever is `patient` chose it and is refused early only when it
        cannot be met; the others also when the queue stands longer than the objective. `tenant` pays for the time.
        `gone` is a coroutine function that ends when the caller has hung
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
        if self._pace.batchable:
            form = tuple((name, tensor.shape[1:]) for name, tensor in inputs.items())
        entry = Entry(inputs, rows, form, self._loop.create_future(), deadline, tenant, gone=gone)
        self._pace.arrived(entry.queued_at)
        self._refuse_early(entry, patient)
        self.last_used = entry.queued_at
        self._pending[entry] = None
        self._pending_rows += rows
        if self._sweep is None:
            self._drained.clear()
            self._sweep = self._loop.call_later(SWEEP_INTERVAL_S, self._check_waiting)
        self._queue.put(entry)
        try:
            return await entry.future
        finally:
            del self._pending[entry]
            self._pending_rows -= rows
            if entry.watch is not None:
                entry.watch.cancel()

    async def close(self) -> None:
        """Finish what was accepted, then end the threads."""
        while self._pending:
            await self._drained.wait()
        self._closing = True
        self._queue.put(None)
        for thread in list(self._threads):
            await asyncio.to_thread(thread.join)

    def stands_s(self, now: float) -> float:
        """How long whoever comes `now` would wait (on `time.monotonic`'s clock), where that has been too long for a
        while; else 0."""
        wait_s = self._wait_s()
        if self._pending:
            # What else runs on these cores makes it longer than its estimate, so what was measured counts too.
            wait_s = max(wait_s, self._waited_s)
        return wait_s if self._pace.overloaded(now, wait_s) else 0.0

    def _wait_s(self) -> float:
        return self._pace.wait_s(rows=self._pending_rows, requests=len(self._pending)) / len(self._threads)

    def _refuse_early(self, entry: Entry, patient: bool) -> None:
        """Raise Overloaded where waiting would be in vain: the caller learns it now, the model computes for others."""
        stands_s, wait_s = self.stands_s(entry.queued_at), self._wait_s()
        if wait_s > entry.deadline - entry.queued_at or (stands_s and not patient):
            raise would_wait(stands_s or wait_s)

    def _check_waiting(self) -> None:
        """End what is past its deadline, and let what waits long watch its caller. Runs only while there is work."""
        now = time.monotonic()
        for entry in list(self._pending):
            if now >= entry.deadline:
                if not entry.future.done():
                    with self._counting:
                        self.statistics.failed(int(1e9 * (now - entry.queued_at)))
                    entry.future.set_exception(DeadlineExceeded())
            elif entry.gone is not None and entry.watch is None and now - entry.queued_at >= SWEEP_INTERVAL_S:
                entry.watch = asyncio.ensure_future(watch(entry, entry.gone))
        if self._pending:
            self._sweep = self._loop.call_later(SWEEP_INTERVAL_S, self._check_waiting)
        else:
            self._sweep = None
            self._drained.set()

    # --- The model's threads ---------------------------------------------------------------------------------------

    def _add_lane(self) -> None:
        spare = bool(self._threads)
        name = f"model {self._name}"
        self._threads.append(threading.Thread(target=self._work, args=(spare,), name=name, daemon=True))
        self._threads[-1].start()

    def _call_another(self, batch: list[Entry]) -> None:
        """Let the queue be taken from by one thread more, where this batch keeps this one for long."""
        if len(self._threads) >= self._max_lanes or self._queue.empty():
            return
        if self._pace.run_s(sum(entry.rows for entry in batch)) < LANE_WORTH_S:
            return
        with self._counting:
            if len(self._threads) < self._max_lanes and not self._closing:
                self._add_lane()

    def _work(self, spare: bool) -> None:
        """Take and run until the model is unloaded; a spare lane also ends when it is not needed for a while."""
        while (batch := self._take(spare)) is not None:
            if not batch:
                continue
            self._call_another(batch)
            answers = self._run_in_turn(batch)
            try:
                self._loop.call_soon_threadsafe(deliver, batch, answers)
            except RuntimeError:
                return  # The loop was closed: nobody is left to be answered.
            del batch, answers  # An idle thread keeps no caller's tensors.
        with self._counting:
            if spare and not self._closing:
                self._threads.remove(threading.current_thread())

    def _take(self, spare: bool) -> list[Entry] | None:
        """The oldest entry and those right behind it that fit. None ends the thread."""
        if not self._taking.acquire(timeout=LANE_IDLE_S if spare else -1):
            return None
        try:
            return self._take_next(spare)
        finally:
            self._taking.release()

    def _take_next(self, spare: bool) -> list[Entry] | None:
        try:
            first = self._held or self._queue.get(timeout=LANE_IDLE_S if spare else None)
        except Empty:
            return None
        self._held = None
        if first is None:
            self._queue.put(None)  # for the next lane
            return None
        if first.future.done():
            return []
        self._waited_s = time.monotonic() - first.queued_at
        batch = [first]
        window_s = self._pace.window_s()
        self._fill(batch, until=first.queued_at + window_s if window_s else 0.0)
        return batch

    def _fill(self, batch: list[Entry], *, until: float = 0.0) -> None:
        """Add what is queued and fits, and what comes before `until` (on `time.monotonic`'s clock)."""
        if not self._pace.batchable or self._held is not None:
            return
        if not until and self._queue.empty():
            return
        rows, cap, form = sum(entry.rows for entry in batch), self._pace.row_cap(), batch[0].form
        while rows < cap:
            # Only who holds `_taking` takes entries out, so what is there stays there.
            if self._queue.empty() and not until:
                return
            try:
                entry = self._queue.get(timeout=max(until - time.monotonic(), 0) if until else None)
            except Empty:
                return
            if entry is None:
                self._queue.put(None)
                return
            if entry.future.done():
                continue
            if entry.form != form or rows + entry.rows > cap:
                self._held = entry
                return
            batch.append(entry)
            rows += entry.rows

    def _run_in_turn(self, batch: list[Entry]) -> list[Tensors | Exception]:
        if self._turns is None:
            return self._run(batch)
        tenant = batch[0].tenant
        had_turn = self._turns.enter(tenant)
        started = time.perf_counter()
        try:
            if self._taking.acquire(blocking=False):
                try:
                    self._fill(batch)  # What came while others had their turn.
                finally:
                    self._taking.release()
            return self._run(batch)
        finally:
            self._turns.leave(tenant, time.perf_counter() - started, had_turn=had_turn)

    def _run(self, batch: list[Entry]) -> list[Tensors | Exception]:
        if len(batch) == 1:
            return [self._run_alone(batch[0])]
        rows, began = sum(entry.rows for entry in batch), time.perf_counter_ns()
        inputs = {name: np.concatenate([entry.inputs[name] for entry in batch]) for name in batch[0].inputs}
        now, input_ns = time.monotonic(), time.perf_counter_ns() - began
        try:
            outputs, infer_ns = self._timed(inputs, rows)
        except Overloaded as error:
            return [self._failure(entry, error) for entry in batch]
        except Exception:  # noqa: BLE001  whatever the runtime raised
            # One caller's input must not fail the others'; alone, each gets its own answer or error.
            return [self._run_alone(entry) for entry in batch]
        if any(tensor.shape[:1] != (rows,) for tensor in outputs.values()):
            log.error(
                "model %s gave another number of rows than it took: it is not batched any more", self._name
            )
            self._pace.batchable = False
            return [self._run_alone(entry) for entry in batch]
        answers: list[Tensors | Exception] = []
        start, began = 0, time.perf_counter_ns()
        for entry in batch:
            end = start + entry.rows
            answers.append({name: tensor[start:end] for name, tensor in outputs.items()})
            start = end
        with self._counting:
            self.statistics.ran(
                rows=rows,
                requests=len(batch),
                waited_ns=int(1e9 * (len(batch) * now - sum(entry.queued_at for entry in batch))),
                input_ns=input_ns,
                infer_ns=infer_ns,
                output_ns=time.perf_counter_ns() - began,
            )
        metrics.BATCH_ROWS.observe(rows)
        return answers

    def _run_alone(self, entry: Entry) -> Tensors | Exception:
        waited_ns = int(1e9 * (time.monotonic() - entry.queued_at))
        try:
            outputs, infer_ns = self._timed(entry.inputs, entry.rows)
        except Exception as error:  # noqa: BLE001  it is the caller's answer, not this thread's end
            return self._failure(entry, error)
        with self._counting:
            self.statistics.ran(rows=entry.rows, requests=1, waited_ns=waited_ns, infer_ns=infer_ns)
        metrics.BATCH_ROWS.observe(entry.rows)
        return outputs

    def _timed(self, inputs: Tensors, rows: int) -> tuple[Tensors, int]:
        """The outputs, and the nanoseconds that they took."""
        began = time.perf_counter_ns()
        outputs = self._predict(inputs)
        ended = time.perf_counter_ns()
        with self._counting:
            self._pace.ran(rows, (ended - began) / 1e9, ended / 1e9)
        return outputs, ended - began

    def _failure(self, entry: Entry, error: Exception) -> Exception:
        with self._counting:
            self.statistics.failed(int(1e9 * (time.monotonic() - entry.queued_at)))
        return error
