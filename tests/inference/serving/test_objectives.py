"""A latency objective reaches the batcher: smaller batches, shorter windows, the strictest of several endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from inference.serving.batching import Batcher
from inference.serving.descriptions import configuration
from inference.serving.entries import Entry
from inference.serving.pacing import LEARNT_AFTER_RUNS
from inference.serving.pool import ModelPool
from inference.serving.routing import Router
from tests.factories import onnx_models
from tests.factories.onnx_models import EndpointStub
from tests.inference.serving.test_batching import Gate, ask, batcher_for, busy, doubled, rows

# On the batcher's own clock, so that its real runs, which take no time, teach it nothing.
LATER = 1e12


def teach(batcher: Batcher, *, fixed_s: float = 0.0, per_row_s: float = 0.0) -> None:
    """As if the model had needed so long."""
    for number in range(4 * LEARNT_AFTER_RUNS):
        size = 1 + number % 5
        batcher._pace.ran(size, fixed_s + size * per_row_s, LATER + number)


async def batches(batcher: Batcher, gate: Gate, count: int) -> list[int]:
    """The sizes of the batches in which `count` lone rows are computed that queue up behind one."""
    gate.open.clear()
    gate.started.clear()
    before = len(gate.runs)
    first = await busy(gate, batcher)
    others = [ask(batcher, rows(number), patient=True) for number in range(count)]
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(first, *others)
    return gate.runs[before + 1 :]


async def test_a_tighter_objective_makes_smaller_batches_and_a_laxer_one_larger_again() -> None:
    gate = Gate()
    async with batcher_for(gate, objective_s=1.0) as batcher:
        teach(batcher, per_row_s=0.01)
        assert await batches(batcher, gate, 12) == [12]
        batcher.aim(0.08)
        assert await batches(batcher, gate, 12) == [4, 4, 4]
        batcher.aim(0.02)
        assert await batches(batcher, gate, 3) == [1, 1, 1]
        batcher.aim(1.0)
        assert await batches(batcher, gate, 12) == [12]


class Noting(Batcher):
    """Notes how long each batch was held open, and waits for none."""

    held: list[float]

    def _fill(self, batch: list[Entry], *, until: float = 0.0) -> None:
        self.held.append(round(until - batch[0].queued_at, 6) if until else 0.0)


async def test_a_tighter_objective_closes_the_window_earlier() -> None:
    batcher = Noting(doubled, name="test", batchable=True, objective_s=50.0)
    batcher.held = []
    teach(batcher, fixed_s=20.0)
    try:
        for objective_s in (50.0, 5.0, 0.5):
            batcher.aim(objective_s)
            batcher._pace._gap_s = -10.0  # requests come without a gap
            await ask(batcher, rows(1), patient=True)
        assert batcher.held == [5.0, 0.5, 0.05]
    finally:
        await batcher.close()


@pytest.fixture
async def pool() -> AsyncIterator[ModelPool]:
    made = ModelPool(objective_s=1.0)
    yield made
    await made.close()


async def test_a_version_follows_the_strictest_of_those_who_use_it(tmp_path: Path, pool: ModelPool) -> None:
    arm = onnx_models.affine(tmp_path)
    pool.use("a", [arm.version_id], objective_s=0.2)
    pool.use("b", [arm.version_id], objective_s=2.0)
    pool.use("holds it only", [arm.version_id])
    batcher = (await pool.get(arm)).batcher
    assert batcher.objective_s == 0.2, "what was said before it was loaded counts"
    seen = []
    for user, objective_s in (("b", 0.05), ("a", 0.01), ("a", 3.0), ("b", 4.0)):
        pool.use(user, [arm.version_id], objective_s=objective_s)
        seen.append(batcher.objective_s)
    assert seen == [0.05, 0.01, 0.05, 3.0]
    pool.use("a", [])
    assert batcher.objective_s == 4.0
    pool.use("b", [])
    assert batcher.objective_s == 1.0, "nobody says any: that of the installation"


async def test_a_changed_endpoint_takes_effect_at_its_next_request(tmp_path: Path, pool: ModelPool) -> None:
    arm = onnx_models.affine(tmp_path)
    router, lax = Router(pool), EndpointStub("lax", (arm,))
    strict = EndpointStub("strict", (arm,), objective_s=0.03)
    choice = await router.pick(router.route(lax))
    batcher = choice.model.batcher
    assert batcher.objective_s == 1.0
    assert "latency_objective_ms" in configuration(router.route(lax))["parameters"]
    router.route(strict)
    assert batcher.objective_s == 0.03
    router.route(lax)
    assert batcher.objective_s == 0.03, "the other endpoint's request loosens nothing"
    router.route(replace(strict, objective_s=5.0))
    assert batcher.objective_s == 1.0, "an endpoint without one has the installation's"
    assert configuration(router.route(lax))["parameters"] == {
        "latency_objective_ms": {"string_value": "1000"}
    }
