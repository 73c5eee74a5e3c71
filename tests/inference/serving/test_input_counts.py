"""Inputs are counted for versions with a reference alone, within bounds, and no value is ever written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from django.db import transaction

from governance.ids import uuid7
from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from inference.rollouts.analysis.profiles import Gathering
from inference.serving import input_counts
from inference.serving.input_counts import ROWS_A_SECOND, WAITING_BYTES, Counted, InputCounter, InputCounts
from inference.serving.outcomes import OutcomeLog
from inference.serving.predictions import Limits, Predictor
from inference.serving.routing import Router
from tests.factories.inference import make_version
from tests.inference.serving.test_decisions import Asked, arm

X = [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]


def profile_of(inputs: list[dict[str, Any]], **tensors: np.ndarray[Any, Any]) -> Any:
    gathering = Gathering(inputs)
    gathering.add(tensors, [("", None)] * len(next(iter(tensors.values()))))
    return gathering.profile()


def reference() -> Any:
    rows = np.random.default_rng(1).normal(0, 1, (400, 4)).astype(np.float32)
    return SimpleNamespace(revision=uuid7(), profile=profile_of(X, x=rows))


class Table:
    """Where counts end up; what is written again replaces what was."""

    def __init__(self) -> None:
        self.rows: dict[Any, Counted] = {}
        self.away = False

    def write(self, counted: Sequence[Counted]) -> None:
        if self.away:
            raise ConnectionError("away")
        self.rows |= {
            (one.model_version_id, one.at, one.writer): replace(one, counts=dict(one.counts))
            for one in counted
        }

    @property
    def total(self) -> int:
        return sum(one.rows for one in self.rows.values())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module's clocks, moved by hand."""
    now = SimpleNamespace(s=6000.0)
    monkeypatch.setattr(
        input_counts, "time", SimpleNamespace(monotonic=lambda: now.s, time=lambda: 1_000_000 * 60 + now.s)
    )
    return now


@pytest.fixture
def counting(clock: Any) -> tuple[InputCounter, InputCounts, Table]:
    table = Table()
    counts = InputCounts(table.write)
    counter = counts.of(uuid7(), uuid7(), reference())
    assert counter is not None
    return counter, counts, table


def rows(count: int, value: float = 0.0) -> dict[str, np.ndarray[Any, Any]]:
    return {"x": np.full((count, 4), value, np.float32)}


def test_without_a_reference_nothing_is_counted() -> None:
    assert InputCounts(Table().write).of(uuid7(), uuid7(), None) is None


def test_counts_are_of_bins_and_are_written_again_as_they_grow(
    counting: tuple[InputCounter, InputCounts, Table], clock: Any
) -> None:
    counter, counts, table = counting
    assert not counts.due
    counter.offer(rows(3, -50.0), 3)
    assert counts.due
    counts.flush()
    counter.offer(rows(2, 50.0), 2)
    counter.offer(rows(1, float("nan")), 1)
    clock.s += 6
    assert counts.due
    counts.flush()
    (written,) = table.rows.values()
    assert written.rows == 6
    for name in ("x[0]", "x[1]", "x[2]", "x[3]"):
        assert (written.counts[name][0], written.counts[name][-2], written.counts[name][-1]) == (3, 2, 1)
        assert sum(written.counts[name]) == 6


def test_only_so_many_rows_a_second_and_of_a_large_batch_evenly_spaced_ones(
    counting: tuple[InputCounter, InputCounts, Table], clock: Any
) -> None:
    counter, counts, table = counting
    for _ in range(500):
        counter.offer(rows(1), 1)
    counts.flush()
    assert table.total == ROWS_A_SECOND
    clock.s += 1.5
    large = {"x": np.repeat(np.linspace(-50, 50, 1000, dtype=np.float32)[:, None], 4, axis=1)}
    counter.offer(large, 1000)
    counts.flush()
    (written,) = table.rows.values()
    assert written.rows <= 2 * ROWS_A_SECOND
    assert min(written.counts["x[0]"][0], written.counts["x[0]"][-2]) > 20, "both ends of the batch are in it"


def test_what_waits_is_a_copy_and_bounded_in_bytes(clock: Any) -> None:
    declared = [{"name": "image", "datatype": "FP32", "shape": [-1, 3, 256, 256]}]
    pictures = np.zeros((1, 3, 256, 256), np.float32)
    profile = profile_of(declared, image=np.broadcast_to(pictures, (400, 3, 256, 256)))
    counter = InputCounter(uuid7(), uuid7(), SimpleNamespace(revision=uuid7(), profile=profile))
    for _ in range(50):
        counter.offer({"image": pictures}, 1)
    held = [tensor for _minute, kept in counter._waiting for tensor in kept.values()]
    assert 1 <= len(held) <= WAITING_BYTES // pictures.nbytes + 1
    assert all(tensor.base is None for tensor in held)
    counter.count()
    assert next(iter(counter.minutes.values())).counts["image.mean"][1] == len(held)
    texts = np.array([[b"x" * (3 << 20)]], dtype=object)
    told = profile_of(
        [{"name": "t", "datatype": "BYTES", "shape": [-1, 1]}],
        t=np.array([[f"text {n}"] for n in range(400)], dtype=object),
    )
    counter = InputCounter(uuid7(), uuid7(), SimpleNamespace(revision=uuid7(), profile=told))
    for _ in range(50):
        counter.offer({"t": texts}, 1)
    assert len(counter._waiting) == 1


def test_while_the_database_is_away_counts_are_kept_for_some_minutes(
    counting: tuple[InputCounter, InputCounts, Table], clock: Any
) -> None:
    counter, counts, table = counting
    table.away = True
    for _minute in range(40):
        counter.offer(rows(1), 1)
        counts.flush()
        clock.s += 60
    table.away = False
    counts.flush()
    assert table.total == input_counts.MAX_MINUTES
    clock.s += 120
    counts.flush()
    assert not counter.minutes
    assert not counts.due


async def test_the_hot_route_counts_what_the_split_decided(tmp_path: Path) -> None:
    table = Table()
    known = replace(arm(tmp_path, "1", 100), reference=reference())
    asked = Asked(known, arm(tmp_path, "2", 0))
    counts = InputCounts(table.write)
    asked.log = OutcomeLog(asked._write, inputs=counts, interval_s=0.01)
    asked.router = Router(asked.pool, inputs=counts)
    asked.predictor = Predictor(asked.router, asked.log, Limits())
    await asked.ready()
    asked.log.start()
    for how in ({}, {}, {"session": b"s"}, {"version": "1"}, {"version": "2"}):
        await asked.facts(**how)
    await asked.log.stop()
    await asyncio.sleep(0)
    assert table.total == 3
    assert {one.model_version_id for one in table.rows.values()} == {known.version_id}
    await asked.pool.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("valkey")
def test_the_table_keeps_the_last_word_of_each_process_and_nothing_of_versions_that_are_gone(
    org: Any, other_org: Any, principal_for: Callable[..., Any]
) -> None:
    from inference.rollouts.models import InputCount
    from inference.serving.sources import write_input_counts

    version = make_version(principal_for(org, Role.TENANT_ADMIN))
    table = Table()
    counts = InputCounts(table.write)
    counter = counts.of(other_org.id, version.id, reference())
    assert counter is not None
    counter.offer(rows(2), 2)
    counts.flush()
    (early,) = table.rows.values()
    counter.offer(rows(3), 3)
    counts.flush()
    (late,) = table.rows.values()
    write_input_counts([late, replace(late, model_version_id=uuid7())])
    write_input_counts([early])
    with tenant_context(org.id), transaction.atomic():
        (kept,) = InputCount.objects.all()
        assert (kept.rows, kept.tenant_id, kept.counts) == (5, org.id, late.counts)
    with tenant_context(other_org.id), transaction.atomic():
        assert not InputCount.objects.exists()
    with platform_scope(), transaction.atomic():
        assert InputCount.objects.count() == 1
