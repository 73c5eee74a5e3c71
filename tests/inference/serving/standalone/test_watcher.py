"""Following the repository: nothing broken replaces anything; what is replaced stays for those who still need it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import onnx
import onnx.external_data_helper
import pytest

from inference.serving.pool import ModelPool
from inference.serving.standalone.repository import Repository
from inference.serving.standalone.watcher import MAX_LINGERING, RepositoryWatcher
from tests.inference.serving.standalone.repositories import declare, put


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def pool() -> AsyncIterator[ModelPool]:
    made = ModelPool()
    yield made
    await made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watcher(tmp_path: Path, pool: ModelPool, clock: Clock) -> RepositoryWatcher:
    return RepositoryWatcher(Repository(tmp_path), pool, clock=clock)


async def factor(watcher: RepositoryWatcher, pool: ModelPool, name: str = "double") -> float:
    """What the endpoint multiplies by now; its model must be loaded already."""
    model = pool.loaded(watcher.endpoints[name].arms[0].version_id)
    assert model is not None
    return float(model.runtime.predict({"x": np.ones((1, 4), np.float32)})["y"][0, 0])


async def test_warm_once_everything_is_loaded(watcher: RepositoryWatcher, pool: ModelPool, tmp_path: Path):
    put(tmp_path, "double", "1", factor=2)
    put(tmp_path, "triple", "1", factor=3)
    assert not watcher.warm
    await watcher.check()
    assert watcher.warm
    assert len(pool) == 2
    assert await factor(watcher, pool, "triple") == 3


async def test_an_empty_repository_is_not_warm(
    watcher: RepositoryWatcher, pool: ModelPool, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    for _ in range(2):
        await watcher.check()
        assert not watcher.warm
    assert caplog.text.count("the repository is empty") == 1
    put(tmp_path, "double", "1", factor=2)
    await watcher.check()
    assert watcher.warm
    assert await factor(watcher, pool) == 2


async def test_what_cannot_be_loaded_replaces_nothing(
    watcher: RepositoryWatcher, pool: ModelPool, tmp_path: Path
):
    put(tmp_path, "double", "1", factor=2)
    await watcher.check()
    standing = watcher.endpoints["double"]
    artifact = tmp_path / "double" / "2" / "model.onnx"
    put(tmp_path, "double", "2", factor=4)
    whole = artifact.read_bytes()
    # Cut off while it is copied; then a graph that is read well and cannot be loaded.
    for content in (whole[:-3], whole.replace(b"Mul", b"Mux")):
        artifact.write_bytes(content)
        await watcher.check()
        assert watcher.endpoints["double"] is standing
        assert await factor(watcher, pool) == 2
        assert watcher.warm
    artifact.write_bytes(whole)
    await watcher.check()
    assert await factor(watcher, pool) == 4


@pytest.mark.parametrize("place", ["weights", "../../outside", "/etc/hostname"])
async def test_an_artifact_never_reaches_for_other_files(
    watcher: RepositoryWatcher, pool: ModelPool, tmp_path: Path, place: str
):
    """External data is not covered by the digest, and could be any file of the machine."""
    put(tmp_path, "double", "1", factor=2)
    artifact = tmp_path / "double" / "1" / "model.onnx"
    model = onnx.load_model_from_string(artifact.read_bytes())
    [factor_tensor] = model.graph.initializer
    (artifact.parent / "weights").write_bytes(np.float32(9).tobytes())
    onnx.external_data_helper.set_external_data(factor_tensor, place, offset=0, length=4)
    factor_tensor.ClearField("float_data")
    factor_tensor.ClearField("raw_data")
    artifact.write_bytes(model.SerializeToString())
    await watcher.check()
    assert not watcher.warm and not watcher.endpoints


async def test_a_failed_load_is_tried_again_after_a_while(
    tmp_path: Path, pool: ModelPool, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("inference.serving.pool.RETRY_LOAD_AFTER_S", 0.0)
    arm = put(tmp_path, "double", "1", factor=2)
    versions = {"1": {"sha256": arm.sha256}}
    declare(tmp_path, "double", versions=versions, inputs=[*arm.inputs], outputs=[*arm.outputs])
    artifact = tmp_path / "double" / "1" / "model.onnx"
    whole = artifact.read_bytes()
    artifact.write_bytes(b"")
    watcher = RepositoryWatcher(Repository(tmp_path), pool, clock=clock, retry_s=10)
    await watcher.check()
    assert not watcher.warm and not watcher.endpoints
    artifact.write_bytes(whole)  # the same declaration, so nothing tells that it would load now
    await watcher.check()
    assert not watcher.endpoints
    clock.now += 10
    await watcher.check()
    assert watcher.warm
    assert await factor(watcher, pool) == 2


async def test_broken_from_the_start_is_not_ready_unless_that_is_tolerated(
    watcher: RepositoryWatcher, pool: ModelPool, tmp_path: Path
):
    put(tmp_path, "double", "1", factor=2)
    declare(tmp_path, "half", versions={"1": {}})
    await watcher.check()
    assert not watcher.warm
    assert list(watcher.endpoints) == ["double"]
    tolerant = RepositoryWatcher(Repository(tmp_path), pool, tolerate_broken=True)
    await tolerant.check()
    assert tolerant.warm
    put(tmp_path, "half", "1")
    await watcher.check()
    assert watcher.warm


async def test_replaced_and_removed_versions_linger(
    watcher: RepositoryWatcher, pool: ModelPool, clock: Clock, tmp_path: Path
):
    put(tmp_path, "double", "1", factor=2)
    put(tmp_path, "other", "1", factor=5)
    await watcher.check()
    old = watcher.endpoints["double"].arms[0].version_id
    shutil.rmtree(tmp_path / "double" / "1")
    put(tmp_path, "double", "2", factor=4)
    await watcher.check()
    assert await factor(watcher, pool) == 4
    clock.now += 59
    await watcher.check()
    assert pool.loaded(old) is not None
    clock.now += 1
    await watcher.check()
    assert pool.loaded(old) is None

    new = watcher.endpoints["double"].arms[0].version_id
    shutil.rmtree(tmp_path / "double")
    await watcher.check()
    assert list(watcher.endpoints) == ["other"]
    assert pool.loaded(new) is not None
    clock.now += 60
    await watcher.check()
    assert pool.loaded(new) is None
    assert await factor(watcher, pool, "other") == 5


async def test_many_exchanges_in_a_row_do_not_fill_the_memory(
    watcher: RepositoryWatcher, pool: ModelPool, tmp_path: Path
):
    for version in range(1, 8):
        put(tmp_path, "double", str(version), factor=version)
        await watcher.check()
        assert len(pool) == min(version, 1 + MAX_LINGERING)
        assert await factor(watcher, pool) == version


async def test_a_repository_that_goes_away_takes_nothing_with_it(
    watcher: RepositoryWatcher, pool: ModelPool, tmp_path: Path
):
    put(tmp_path, "double", "1", factor=2)
    await watcher.check()
    elsewhere = f"{tmp_path}-away"
    shutil.move(tmp_path, elsewhere)
    await watcher.check()
    assert await factor(watcher, pool) == 2
    shutil.move(elsewhere, tmp_path)
    await watcher.check()
    assert await factor(watcher, pool) == 2
