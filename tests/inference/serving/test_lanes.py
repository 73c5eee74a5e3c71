"""Several runs of one model at once: where they are long and a queue stands, and with nobody's rows mixed up."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest

from inference.serving import batching
from inference.serving.batching import Batcher
from inference.serving.datatypes import Tensors
from inference.serving.fairness import Turns
from inference.serving.runtime import OnnxOptions
from tests.inference.serving.test_batching import ask, batcher_for, rows

LEARN = 10


class Model:
    """Doubles its input in `seconds`, and counts how many runs there were at once."""

    def __init__(self, seconds: float) -> None:
        self.most = 0
        self._seconds, self._now, self._lock = seconds, 0, threading.Lock()

    def __call__(self, inputs: Tensors) -> Tensors:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(self._seconds)
        with self._lock:
            self._now -= 1
        return {"y": 2 * inputs["x"]}


async def learn(batcher: Batcher) -> None:
    """Runs one after another, from which the batcher learns how long they take."""
    for number in range(LEARN):
        await ask(batcher, rows(number))


async def crowd(batcher: Batcher, count: int = 60) -> None:
    """Many callers at once, each of whom must get its own rows."""
    given = [rows(100 * number, 100 * number + 1) for number in range(count)]
    answers = await asyncio.gather(*(ask(batcher, inputs) for inputs in given))
    for inputs, answer in zip(given, answers, strict=True):
        assert np.array_equal(answer["y"], 2 * inputs["x"])


@pytest.mark.parametrize("turns", [None, Turns(3)])
async def test_long_runs_go_side_by_side_and_everybody_gets_their_own(turns: Turns | None) -> None:
    model = Model(0.02)
    async with batcher_for(model, lanes=3, max_rows=8, turns=turns) as batcher:
        await learn(batcher)
        assert model.most == 1
        await crowd(batcher)
        assert model.most == 3
        assert batcher.statistics.requests == LEARN + 60
        assert batcher.statistics.rows == LEARN + 120


async def test_short_runs_stay_on_one_thread() -> None:
    model = Model(0.0)
    async with batcher_for(model, lanes=3, max_rows=2) as batcher:
        await learn(batcher)
        await crowd(batcher)
        assert model.most == 1


async def test_one_lane_is_one_run() -> None:
    model = Model(0.01)
    async with batcher_for(model, max_rows=8) as batcher:
        await learn(batcher)
        await crowd(batcher)
        assert model.most == 1


async def test_a_lane_that_is_not_needed_ends_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "LANE_IDLE_S", 0.05)
    model = Model(0.02)
    async with batcher_for(model, lanes=2, max_rows=8) as batcher:
        await learn(batcher)
        for _ in range(2):
            await crowd(batcher, 30)
            assert model.most == 2
            async with asyncio.timeout(10):
                while sum(thread.name == "model test" for thread in threading.enumerate()) > 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            model.most = 0


async def test_closing_ends_every_lane() -> None:
    model = Model(0.02)
    batcher = Batcher(model, name="closing", batchable=True, max_rows=4, lanes=4)
    await learn(batcher)
    asked = [ask(batcher, rows(number)) for number in range(40)]
    await asyncio.sleep(0.05)
    await batcher.close()
    assert all(task.done() and not task.exception() for task in asked)
    assert not [thread for thread in threading.enumerate() if thread.name == "model closing"]


def test_lanes_are_for_cores_that_a_run_leaves_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert [OnnxOptions(threads=threads).lanes for threads in (1, 2, 4, 8, 16)] == [4, 4, 2, 1, 1]
    assert OnnxOptions(("CUDAExecutionProvider", "CPUExecutionProvider")).lanes == 1
