"""The memory budget: what was not used for longest makes room, what is busy never does, and no request fails for it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from inference.serving import metrics
from inference.serving.application import InferenceApplication
from inference.serving.errors import Overloaded
from inference.serving.lookups import CachedLookups
from inference.serving.pool import ModelPool, NoRoom
from inference.serving.routing import Router
from inference.serving.runtime import LoadError, expected_memory_bytes
from tests.factories import onnx_models
from tests.factories.onnx_models import ArmStub, EndpointStub

X = {"x": np.ones((1, 4), np.float32)}


def three(folder: Path) -> list[ArmStub]:
    return [onnx_models.affine(folder, factor=float(n), version=str(n)) for n in (1, 2, 3)]


def room_for(count: int, arm: ArmStub) -> int:
    return count * expected_memory_bytes(arm.artifact_path.stat().st_size) + 1000


def endpoints(arms: list[ArmStub]) -> list[EndpointStub]:
    return [EndpointStub(f"m{arm.version}", (arm,)) for arm in arms]


async def ask(router: Router, endpoint: EndpointStub) -> float:
    model = (await router.pick(router.route(endpoint))).model
    answer = await model.batcher.predict(X, rows=1, deadline=time.monotonic() + 10)
    return float(answer["y"][0, 0])


async def test_the_least_recently_used_makes_room(tmp_path: Path) -> None:
    arms = three(tmp_path)
    pool = ModelPool(memory_bytes=room_for(2, arms[0]))
    router, (first, second, third) = Router(pool), endpoints(arms)
    evicted = metrics.UNLOADED_FOR_ROOM._value.get()
    for endpoint in (first, second, first):
        await ask(router, endpoint)
    assert await ask(router, third) == 3
    assert [pool.loaded(arm.version_id) is not None for arm in arms] == [True, False, True]
    assert metrics.UNLOADED_FOR_ROOM._value.get() == evicted + 1
    assert pool.memory_bytes() <= room_for(2, arms[0])
    # What was unloaded is loaded again by the next request for it.
    assert [await ask(router, endpoint) for endpoint in (second, first, third, second)] == [2, 1, 3, 2]
    await pool.close()
    assert pool.memory_bytes() == 0


async def test_a_busy_model_is_never_unloaded(tmp_path: Path) -> None:
    slow, other = onnx_models.slow(tmp_path, rows=1), onnx_models.affine(tmp_path)
    pool = ModelPool(memory_bytes=room_for(1, slow))
    pool.use("e", [slow.version_id, other.version_id])
    model = await pool.get(slow)
    one = {"x": np.ones((1, 1), np.float32)}
    running = asyncio.ensure_future(model.batcher.predict(one, rows=1, deadline=time.monotonic() + 10))
    await asyncio.sleep(0)
    with pytest.raises(NoRoom) as caught:
        await pool.get(other)
    assert (caught.value.status, dict(caught.value.headers)[b"retry-after"]) == (503, b"5")
    await running
    assert await pool.get(other)
    assert pool.loaded(slow.version_id) is None
    await pool.close()


async def test_what_is_larger_than_the_budget_says_so(tmp_path: Path) -> None:
    arm = onnx_models.affine(tmp_path)
    pool = ModelPool(memory_bytes=1_000_000)
    with pytest.raises(LoadError, match="the budget for all models is 1000000"):
        await pool.get(arm)
    await pool.close()


async def test_loading_ahead_pushes_out_nothing_in_use(tmp_path: Path) -> None:
    """Both arms of a split, and room for one: the one that answers stays, instead of taking turns with the other."""
    arms = three(tmp_path)[:2]
    pool = ModelPool(memory_bytes=room_for(1, arms[0]))
    router = Router(pool)
    endpoint = EndpointStub("split", tuple(arms))
    answers = set()
    for _ in range(30):
        answers.add(await ask(router, endpoint))
        await asyncio.sleep(0.001)
    assert len(answers) == 1
    await pool.close()


async def test_many_endpoints_in_little_room_fail_no_request(tmp_path: Path) -> None:
    arms = [onnx_models.affine(tmp_path, factor=float(n), version=str(n)) for n in range(8)]
    pool = ModelPool(memory_bytes=room_for(3, arms[0]))
    router, all_endpoints = Router(pool), endpoints(arms)

    async def caller(offset: int) -> None:
        for turn in range(16):
            number = (offset + turn) % 8
            for _ in range(50):
                try:
                    assert await ask(router, all_endpoints[number]) == number
                    break
                except Overloaded as refused:
                    assert refused.status == 503
                    await asyncio.sleep(0.005)
            else:
                raise AssertionError("it never got its turn")

    await asyncio.gather(*(caller(offset) for offset in (0, 3)))
    assert pool.memory_bytes() <= room_for(3, arms[0])
    await pool.close()


async def test_release_lets_the_next_request_load_anew(tmp_path: Path) -> None:
    arm = onnx_models.affine(tmp_path)
    pool = ModelPool()
    router, endpoint = Router(pool), EndpointStub("m", (arm,))
    await ask(router, endpoint)
    before = pool.loaded(arm.version_id)
    assert pool.release(arm.version_id)
    assert not pool.release(arm.version_id)
    assert await ask(router, endpoint) == 2
    assert pool.loaded(arm.version_id) is not before
    await pool.close()


async def test_an_application_serves_from_the_pool_it_was_given() -> None:
    """An empty pool has no length, which must not make it count as none."""
    pool = ModelPool()
    assert InferenceApplication(CachedLookups(Mock()), pool=pool)._pool is pool
    await pool.close()
