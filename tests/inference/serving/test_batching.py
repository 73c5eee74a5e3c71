"""The micro-batcher: everybody gets their own rows, batches stay bounded, nothing waits for nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.serving.batching import Batcher
from inference.serving.datatypes import Tensors
from inference.serving.entries import CallerGone, DeadlineExceeded
from inference.serving.errors import Overloaded

Predict = Callable[[Tensors], Tensors]


def doubled(inputs: Tensors) -> Tensors:
    return {"y": 2 * inputs["x"]}


def rows(*values: float, width: int = 2) -> Tensors:
    return {"x": np.repeat(np.array(values, dtype=np.float32)[:, None], width, axis=1)}


class Gate:
    """A model that waits until it is told to go on, and remembers the size of every run."""

    def __init__(self, predict: Predict = doubled) -> None:
        self.open = threading.Event()
        self.started = threading.Event()
        self.runs: list[int] = []
        self._predict = predict

    def __call__(self, inputs: Tensors) -> Tensors:
        self.started.set()
        assert self.open.wait(10)
        self.runs.append(len(inputs["x"]))
        return self._predict(inputs)


@asynccontextmanager
async def batcher_for(predict: Predict, **options: Any) -> AsyncIterator[Batcher]:
    made = Batcher(predict, name="test", **{"batchable": True, **options})
    try:
        yield made
    finally:
        await made.close()


def ask(batcher: Batcher, inputs: Tensors, *, seconds: float = 20, **options: Any) -> asyncio.Task[Tensors]:
    call = batcher.predict(inputs, rows=len(inputs["x"]), deadline=time.monotonic() + seconds, **options)
    return asyncio.ensure_future(call)


async def busy(gate: Gate, batcher: Batcher) -> asyncio.Task[Tensors]:
    """Let a first request occupy the model, so that what follows queues up."""
    first = ask(batcher, rows(0))
    await asyncio.to_thread(gate.started.wait, 10)
    return first


async def test_a_lone_request_does_not_wait() -> None:
    async with batcher_for(doubled) as batcher:
        began = time.perf_counter()
        for _ in range(20):
            await ask(batcher, rows(1))
        assert time.perf_counter() - began < 1


async def test_a_batch_is_what_queued_up_while_the_last_one_ran() -> None:
    gate = Gate()
    async with batcher_for(gate) as batcher:
        first = await busy(gate, batcher)
        others = [ask(batcher, rows(i)) for i in range(1, 6)]
        await asyncio.sleep(0)
        gate.open.set()
        answers = await asyncio.gather(first, *others)
        assert gate.runs == [1, 5]
        assert [answer["y"][0, 0] for answer in answers] == [0, 2, 4, 6, 8, 10]


async def test_batches_are_bounded_and_clients_batches_never_split() -> None:
    gate = Gate()
    async with batcher_for(gate, max_rows=4) as batcher:
        first = await busy(gate, batcher)
        others = [ask(batcher, rows(*range(size))) for size in (3, 2, 2, 7, 1)]
        await asyncio.sleep(0)
        gate.open.set()
        answers = await asyncio.gather(first, *others)
        assert gate.runs == [1, 3, 4, 7, 1]
        assert [len(answer["y"]) for answer in answers] == [1, 3, 2, 2, 7, 1]


async def test_only_rows_of_one_form_are_put_together() -> None:
    gate = Gate()
    async with batcher_for(gate) as batcher:
        first = await busy(gate, batcher)
        others = [ask(batcher, rows(1, width=width)) for width in (2, 2, 3, 2)]
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(first, *others)
        assert gate.runs == [1, 2, 1, 1]


async def test_a_model_that_is_not_batchable_runs_one_at_a_time() -> None:
    gate = Gate()
    async with batcher_for(gate, batchable=False) as batcher:
        first = await busy(gate, batcher)
        others = [ask(batcher, rows(i)) for i in range(3)]
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(first, *others)
        assert gate.runs == [1, 1, 1, 1]


async def test_one_bad_row_does_not_fail_the_others() -> None:
    def picky(inputs: Tensors) -> Tensors:
        if (inputs["x"] < 0).any():
            raise ValueError("negative")
        return doubled(inputs)

    gate = Gate(picky)
    async with batcher_for(gate) as batcher:
        first = await busy(gate, batcher)
        others = [ask(batcher, rows(value)) for value in (1, -1, 3)]
        await asyncio.sleep(0)
        gate.open.set()
        answers = await asyncio.gather(first, *others, return_exceptions=True)
        assert [a if isinstance(a, ValueError) else a["y"][0, 0] for a in answers] == [0, 2, answers[2], 6]
        assert isinstance(answers[2], ValueError)


async def test_a_model_that_changes_the_number_of_rows_is_never_batched_again() -> None:
    gate = Gate(lambda inputs: {"y": 2 * inputs["x"][:1]})
    async with batcher_for(gate) as batcher:
        first = await busy(gate, batcher)
        others = [ask(batcher, rows(value)) for value in (1, 2)]
        await asyncio.sleep(0)
        gate.open.set()
        answers = await asyncio.gather(first, *others)
        assert [answer["y"][0, 0] for answer in answers] == [0, 2, 4]
        assert not batcher.batchable


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    gate = Gate()
    async with batcher_for(gate, max_queued=3) as batcher:
        accepted = [await busy(gate, batcher), ask(batcher, rows(1)), ask(batcher, rows(2))]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as caught:
            await ask(batcher, rows(3))
        assert caught.value.status == 503
        assert (b"retry-after", b"1") in caught.value.headers
        gate.open.set()
        await asyncio.gather(*accepted)
        assert batcher.depth == 0


async def test_a_cancelled_request_is_not_computed() -> None:
    gate = Gate()
    async with batcher_for(gate) as batcher:
        first = await busy(gate, batcher)
        second, third = ask(batcher, rows(1)), ask(batcher, rows(2))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(first, third)
        assert second.cancelled()
        assert sum(gate.runs) == 2


async def test_a_caller_who_hung_up_is_not_computed_for() -> None:
    gate, hung_up = Gate(), asyncio.Event()

    async def gone() -> None:
        await hung_up.wait()

    async with batcher_for(gate) as batcher:
        first = await busy(gate, batcher)
        second = ask(batcher, rows(1), gone=gone)
        hung_up.set()
        with pytest.raises(CallerGone):
            await second
        gate.open.set()
        await first
        assert gate.runs == [1]


async def test_a_deadline_is_kept_while_the_model_is_busy() -> None:
    gate = Gate()
    async with batcher_for(gate) as batcher:
        first = await busy(gate, batcher)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded) as caught:
            await ask(batcher, rows(1), seconds=0.1)
        assert caught.value.status == 504
        assert time.monotonic() - began < 2
        gate.open.set()
        await first
        await ask(batcher, rows(2))
        assert gate.runs == [1, 1]


async def test_close_finishes_what_was_accepted() -> None:
    gate = Gate()
    batcher = Batcher(gate, name="test", batchable=True)
    first = await busy(gate, batcher)
    closing = asyncio.ensure_future(batcher.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    gate.open.set()
    assert (await first)["y"][0, 0] == 0
    await closing
    with pytest.raises(Overloaded):
        await ask(batcher, rows(1))


@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from([1, 2, 3])), min_size=1, max_size=40),
    st.integers(1, 12),
)
@settings(deadline=None, max_examples=30)
def test_no_answer_ever_reaches_another_caller(calls: list[tuple[int, int]], max_rows: int) -> None:
    async def run() -> None:
        async with batcher_for(doubled, max_rows=max_rows) as batcher:
            inputs = [
                rows(*(100 * i + row for row in range(size)), width=width)
                for i, (size, width) in enumerate(calls)
            ]
            answers = await asyncio.gather(*(ask(batcher, given) for given in inputs))
            for given, answer in zip(inputs, answers, strict=True):
                assert np.array_equal(answer["y"], 2 * given["x"])

    asyncio.run(run())
