"""The micro-batcher under pressure: cancellations by the thousand, early refusals, callers that never mix."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.serving.batching import Batcher
from inference.serving.datatypes import Tensors
from inference.serving.entries import CallerGone, DeadlineExceeded, Entry
from inference.serving.errors import Overloaded
from inference.serving.fairness import Turns
from tests.inference.serving.test_batching import Gate, ask, batcher_for, busy, doubled, rows


def teach(batcher: Batcher, *, fixed_s: float, per_row_s: float) -> None:
    """Let the batcher believe that it saw such runs."""
    for number, size in enumerate((1, 2, 4, 8, 16, 1, 2, 4, 8, 16)):
        batcher._pace.ran(size, fixed_s + size * per_row_s, time.monotonic() - 100 + number)


async def test_a_thousand_cancellations_leave_nothing_behind() -> None:
    gate = Gate()
    async with batcher_for(gate, max_queued=2000) as batcher:
        first = await busy(gate, batcher)
        calls = [ask(batcher, rows(i)) for i in range(1000)]
        await asyncio.sleep(0.06)  # long enough for the sweep to see them
        for call in calls:
            call.cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, asyncio.CancelledError) for answer in answers)
        assert batcher.depth == 1
        gate.open.set()
        await first
        assert (await ask(batcher, rows(7)))["y"][0, 0] == 14
        assert sum(gate.runs) == 2, "nothing was computed for those who left"
        assert batcher.depth == batcher._pending_rows == 0
        del calls, answers
        gc.collect()
        # By type and not isinstance: that would wake up every lazy object of the process.
        assert sum(type(thing) is Entry for thing in gc.get_objects()) < 10


async def test_cancelled_watchers_end() -> None:
    gate = Gate()
    async with batcher_for(gate) as batcher:
        first = await busy(gate, batcher)
        before = len(asyncio.all_tasks())
        calls = [ask(batcher, rows(i), gone=asyncio.Event().wait) for i in range(100)]
        await asyncio.sleep(0.15)
        assert len(asyncio.all_tasks()) >= before + 200, "each has a watcher by now"
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == before
        gate.open.set()
        await first


async def test_what_cannot_be_in_time_is_refused_at_once() -> None:
    gate = Gate()
    async with batcher_for(gate, batchable=False) as batcher:
        first = await busy(gate, batcher)
        teach(batcher, fixed_s=0.0, per_row_s=1.0)
        waiting = [ask(batcher, rows(1), patient=True) for _ in range(3)]
        await asyncio.sleep(0)
        began = time.monotonic()
        with pytest.raises(Overloaded) as caught:
            await ask(batcher, rows(1), seconds=2, patient=True)
        assert time.monotonic() - began < 1
        assert caught.value.status == 503
        assert dict(caught.value.headers)[b"retry-after"] == b"4"
        gate.open.set()
        await asyncio.gather(first, *waiting)


async def test_a_standing_queue_refuses_those_without_a_deadline_of_their_own() -> None:
    gate = Gate()
    async with batcher_for(gate, batchable=False, objective_s=0.5) as batcher:
        first = await busy(gate, batcher)
        teach(batcher, fixed_s=0.0, per_row_s=0.3)
        burst = [ask(batcher, rows(1)) for _ in range(4)]
        await asyncio.sleep(0)
        assert batcher.depth == 5, "a burst is taken"
        await asyncio.sleep(0.11)
        with pytest.raises(Overloaded, match="would wait about 1500 ms"):
            await ask(batcher, rows(1))
        patient = ask(batcher, rows(1), patient=True)
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(first, *burst, patient)


async def test_a_slow_model_waits_a_moment_for_company() -> None:
    gate = Gate()
    gate.open.set()
    async with batcher_for(gate, objective_s=10.0) as batcher:
        teach(batcher, fixed_s=1.0, per_row_s=0.001)
        for number in range(60):
            batcher._pace.arrived(time.monotonic() - 0.06 + number * 0.001)
        calls = []
        for number in range(3):
            calls.append(ask(batcher, rows(number)))
            await asyncio.sleep(0.02)
        await asyncio.gather(*calls)
        assert gate.runs == [3]


@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(0, 2))
@settings(deadline=None, max_examples=25)
def test_callers_never_mix_whatever_they_do(seed: int, max_rows: int, slots: int) -> None:
    """Tenants, sizes, failing inputs, cancellations and deadlines at random: everybody gets their own or an error."""
    chance = random.Random(seed)

    def picky(inputs: Tensors) -> Tensors:
        if (inputs["x"] < 0).any():
            raise ValueError("negative")
        if chance.random() < 0.2:
            time.sleep(0.001)
        return doubled(inputs)

    async def caller(batcher: Batcher, number: int) -> Any:
        size, width = chance.randint(1, 4), chance.choice((1, 2))
        bad = chance.random() < 0.1
        given_rows = rows(*(-1.0 if bad else 1000 * number + row for row in range(size)), width=width)
        call = ask(
            batcher,
            given_rows,
            seconds=chance.choice((0.0005, 20)),
            tenant=UUID(int=chance.randint(1, 3)),
            patient=True,
        )
        await asyncio.sleep(chance.choice((0, 0, 0.001)))
        if chance.random() < 0.2:
            call.cancel()
        try:
            answer = await call
        except (ValueError, DeadlineExceeded, CallerGone, Overloaded, asyncio.CancelledError) as error:
            assert bad or not isinstance(error, ValueError)
            return
        assert not bad
        assert np.array_equal(answer["y"], 2 * given_rows["x"])

    async def run() -> None:
        turns = Turns(slots) if slots else None
        async with batcher_for(picky, max_rows=max_rows, turns=turns) as batcher:
            await asyncio.gather(*(caller(batcher, number) for number in range(60)))
            assert batcher.depth == batcher._pending_rows == 0

    asyncio.run(run())
