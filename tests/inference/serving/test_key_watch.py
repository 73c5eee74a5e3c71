"""What a process unloads when it hears of a tenant's keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from governance.access.hub import EVERYTHING
from inference.serving import key_watch
from inference.serving.key_watch import KeyWatch
from inference.serving.pool import ModelPool
from inference.serving.runtime import LoadError
from tests.factories import onnx_models

BANK, PLANT = uuid4(), uuid4()


class Models:
    """Remembers who was withdrawn."""

    def __init__(self) -> None:
        self.gone: list[UUID] = []

    def tenants(self) -> list[UUID]:
        return [BANK, PLANT]

    def withdraw(self, tenant_id: UUID) -> None:
        self.gone.append(tenant_id)


@pytest.mark.parametrize(
    ("destroyed", "topic", "key", "gone"),
    [
        (lambda tenant: tenant == BANK, "key", str(BANK), [BANK]),
        (lambda tenant: tenant == BANK, "key", str(PLANT), []),
        (lambda tenant: tenant == BANK, "endpoint", str(BANK), []),
        (lambda tenant: tenant == BANK, EVERYTHING, "", [BANK]),
    ],
)
async def test_only_what_is_destroyed_goes(
    destroyed: Callable[[UUID], bool], topic: str, key: str, gone: list[UUID]
) -> None:
    models, watch = Models(), KeyWatch(destroyed)
    watch.invalidate(topic, key)  # before there is anything to unload
    watch.watch(models)
    watch.invalidate(topic, key)
    await asyncio.gather(*watch._asking.values())
    assert models.gone == gone


async def test_after_a_gap_everybody_is_asked_about() -> None:
    models, watch = Models(), KeyWatch(lambda tenant: True)
    watch.watch(models)
    watch.heard(False)
    assert not watch._asking
    watch.heard(True)
    await asyncio.gather(*watch._asking.values())
    assert models.gone == [BANK, PLANT]


async def test_while_nobody_answers_it_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_watch, "RETRY_S", 0.01)
    asked: list[UUID] = []

    def answers_late(tenant_id: UUID) -> bool:
        asked.append(tenant_id)
        if len(asked) < 3:
            raise OSError("away")
        return True

    models, watch = Models(), KeyWatch(answers_late)
    watch.watch(models)
    watch.invalidate("key", str(PLANT))
    await asyncio.gather(*watch._asking.values())
    assert (len(asked), models.gone) == (3, [PLANT])
    assert not watch._asking


async def test_who_is_closed_asks_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(tenant_id: UUID) -> bool:
        raise OSError("away")

    models, watch = Models(), KeyWatch(away)
    watch.watch(models)
    watch.invalidate("key", str(PLANT))
    (task,) = watch._asking.values()
    watch.close()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert not models.gone


async def test_a_load_that_is_under_way_comes_to_nothing(tmp_path: Path) -> None:
    pool, arm = ModelPool(), onnx_models.affine(tmp_path)
    pool.use("endpoint", [arm.version_id])
    loading = asyncio.ensure_future(pool.get(arm))
    for _turn in range(5):
        await asyncio.sleep(0)
    assert pool._reserved, "it is being loaded"
    pool.withdraw(arm.version_id)
    with pytest.raises(LoadError, match="withdrawn"):
        await loading
    assert (len(pool), pool.memory_bytes()) == (0, 0)
    await pool.close()
