"""Tenants share cores and places: one that asks for everything leaves the others theirs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.serving.errors import Overloaded
from inference.serving.fairness import Shares, Turns
from inference.serving.pool import ModelPool
from tests.factories import onnx_models

A, B, C = (UUID(int=n) for n in (1, 2, 3))


class Crowd:
    """Threads of tenants that want turns. Each notes its tenant when it gets one and waits to be told to leave."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.got: list[UUID] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def want(self, tenant: UUID, seconds: float) -> None:
        waiting = len(self.turns._waiting)
        thread = threading.Thread(target=self._run, args=(tenant, seconds))
        thread.start()
        self._threads.append(thread)
        while len(self.turns._waiting) == waiting:
            time.sleep(0.0005)

    def _run(self, tenant: UUID, seconds: float) -> None:
        had_turn = self.turns.enter(tenant)
        with self._lock:
            self.got.append(tenant)
        self.turns.leave(tenant, seconds, had_turn=had_turn)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(10)


def test_whoever_used_the_least_goes_first() -> None:
    """A asked ten times before B came: they alternate all the same, because their runs cost the same."""
    turns = Turns(1, max_wait_s=30)
    assert turns.enter(C)
    crowd = Crowd(turns)
    for tenant in (A,) * 10 + (B,) * 10:
        crowd.want(tenant, 1.0)
    turns.leave(C, 0.0, had_turn=True)
    crowd.join()
    assert Counter(crowd.got[:10]) == {A: 5, B: 5}


def test_a_tenant_with_long_runs_gets_fewer_of_them() -> None:
    turns = Turns(1, max_wait_s=30)
    assert turns.enter(C)
    crowd = Crowd(turns)
    for _ in range(12):
        crowd.want(A, 4.0)
    for _ in range(12):
        crowd.want(B, 1.0)
    turns.leave(C, 0.0, had_turn=True)
    crowd.join()
    first = Counter(crowd.got[:10])
    assert first[B] >= 3 * first[A]


def test_a_run_without_an_end_holds_nobody_up() -> None:
    turns = Turns(1, max_wait_s=0.02)
    assert turns.enter(A)
    assert not turns.enter(B), "it goes without a turn"
    turns.leave(B, 0.1, had_turn=False)
    turns.leave(A, 5.0, had_turn=True)
    assert turns.enter(B)


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.booleans()), max_size=200))
def test_places_are_bounded_and_never_lost(steps: list[tuple[UUID, bool]]) -> None:
    shares = Shares(total=6, per_tenant=5)
    inside: Counter[UUID] = Counter()
    for tenant, enters in steps:
        if enters:
            try:
                shares.enter(tenant)
            except Overloaded as refused:
                assert refused.status == (429 if inside[tenant] == 5 else 503)
                assert b"retry-after" in dict(refused.headers)
                continue
            inside[tenant] += 1
        elif inside[tenant]:
            shares.leave(tenant)
            inside[tenant] -= 1
        assert len(shares) == sum(inside.values()) <= 12
        assert max(inside.values(), default=0) <= 5


def test_a_tenant_that_takes_all_places_locks_nobody_out() -> None:
    shares = Shares(total=100, per_tenant=100)
    for _ in range(100):
        shares.enter(A)
    for _ in range(50):
        shares.enter(B)
    for tenant in (A, B):
        with pytest.raises(Overloaded):
            shares.enter(tenant)
    for _ in range(33):
        shares.enter(C)


async def test_a_flood_of_one_tenant_does_not_starve_anothers_model(tmp_path: Path) -> None:
    """Six busy models of A and one of B on one core's turn: B's few requests do not wait for A's many."""
    pool = ModelPool()
    pool._turns = Turns(1, max_wait_s=30)
    arms = [onnx_models.slow(tmp_path, rows=1, size=500 + number, version=str(number)) for number in range(7)]
    pool.use("e", [arm.version_id for arm in arms])
    *flooding, calm = [await pool.get(arm) for arm in arms]
    x, deadline = {"x": np.ones((1, 1), np.float32)}, time.monotonic() + 60
    flood = [
        asyncio.ensure_future(model.batcher.predict(x, rows=1, deadline=deadline, tenant=A))
        for model in flooding
        for _ in range(12)
    ]
    await asyncio.sleep(0)
    for _ in range(4):
        await calm.batcher.predict(x, rows=1, deadline=deadline, tenant=B)
    done = sum(call.done() for call in flood)
    for call in flood:
        call.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
    assert done <= 20, "B waited for more than a few of A's runs"
    await pool.close()
