"""Loading, routing to and unloading real ONNX graphs."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from inference.serving import pool as pool_module
from inference.serving.datatypes import Tensors
from inference.serving.errors import ProtocolError
from inference.serving.lookups import Arm
from inference.serving.pool import NO_TRIAL, ModelPool
from inference.serving.routing import Router
from inference.serving.runtime import LoadError, OnnxRuntime, PredictError, Runtime
from inference.serving.runtimes import Runtimes
from inference.serving.signature import Signature
from tests.factories import onnx_models
from tests.factories.onnx_models import ArmStub, EndpointStub

X = {"x": np.array([[1, 2, 3, 4]], dtype=np.float32)}


def load(arm: ArmStub) -> OnnxRuntime:
    signature = Signature.declared(arm.inputs, arm.outputs)
    return OnnxRuntime.load(arm.artifact_path, sha256=arm.sha256, signature=signature)


class CountingLoader(Runtimes):
    """Counts loads; a load takes long enough for others to ask meanwhile."""

    def __init__(self) -> None:
        super().__init__(NO_TRIAL)
        self.loads = 0

    def load(self, arm: Arm, signature: Signature) -> Runtime:
        self.loads += 1
        time.sleep(0.05)
        return super().load(arm, signature)


@pytest.fixture
def loader() -> CountingLoader:
    return CountingLoader()


@pytest.fixture
async def pool(loader: CountingLoader) -> AsyncIterator[ModelPool]:
    made = ModelPool(loader=loader)
    yield made
    await made.close()


async def predict(pool: ModelPool, arm: ArmStub) -> Tensors:
    model = await pool.get(arm)
    return await model.batcher.predict(X, rows=1, deadline=time.monotonic() + 10)


# --- Runtime -------------------------------------------------------------------------------------------------------


def test_a_graph_is_loaded_and_run(tmp_path: Path) -> None:
    assert load(onnx_models.affine(tmp_path)).predict(X)["y"].tolist() == [[2, 4, 6, 8]]


def test_an_artifact_that_changed_on_disk_is_refused(tmp_path: Path) -> None:
    arm = onnx_models.affine(tmp_path)
    arm.artifact_path.write_bytes(arm.artifact_path.read_bytes() + b" ")
    with pytest.raises(LoadError, match="sha256"):
        load(arm)


def test_a_missing_and_an_unreadable_artifact_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="No such file"):
        load(replace(onnx_models.affine(tmp_path), artifact_path=tmp_path / "gone"))
    (tmp_path / "text").write_bytes(b"no graph")
    digest = "a5f63884b4c9b2a41efe7d0e7cb1d41c3f42d62b7f4ee7d9fd5e5b0e9a3c1d00"
    with pytest.raises(LoadError):
        load(replace(onnx_models.affine(tmp_path), artifact_path=tmp_path / "text", sha256=digest))


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ([onnx_models.tensor("w", "FP32", -1, 4)], None, "inputs are"),
        ([onnx_models.tensor("x", "FP64", -1, 4)], None, "declared as FP64"),
        ([onnx_models.tensor("x", "FP32", -1, 5)], None, "declared as"),
        ([onnx_models.tensor("x", "FP32", -1)], None, "declared as"),
        (None, [onnx_models.tensor("q", "FP32", -1, 4)], "outputs are"),
    ],
)
def test_a_graph_that_is_not_as_declared_is_refused(
    tmp_path: Path, inputs: list[Any] | None, outputs: list[Any] | None, said: str
) -> None:
    arm = onnx_models.affine(tmp_path)
    with pytest.raises(LoadError, match=said):
        load(replace(arm, inputs=tuple(inputs or arm.inputs), outputs=tuple(outputs or arm.outputs)))


def test_tensors_kept_in_other_files_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their content would not be covered by the digest, and their path could point anywhere."""
    monkeypatch.chdir(tmp_path)
    weights = helper.make_tensor(
        "factor", onnx.TensorProto.FLOAT, [4], np.ones(4, np.float32).tobytes(), raw=True
    )
    onnx.external_data_helper.set_external_data(weights, location="weights.bin", offset=0, length=16)
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.ClearField("raw_data")
    (tmp_path / "weights.bin").write_bytes(np.ones(4, np.float32).tobytes())
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "external",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 4])],
        [weights],
    )
    data = helper.make_model(graph, opset_imports=onnx_models.OPSET, ir_version=8).SerializeToString()
    (tmp_path / "model.onnx").write_bytes(data)
    arm = onnx_models.affine(tmp_path)
    with pytest.raises(LoadError):
        load(replace(arm, artifact_path=tmp_path / "model.onnx", sha256=hashlib.sha256(data).hexdigest()))


def test_whether_rows_are_independent_is_tried_out(tmp_path: Path) -> None:
    assert load(onnx_models.affine(tmp_path)).rows_are_independent()
    assert load(onnx_models.identity(tmp_path, "BYTES", "BOOL", "INT8", "FP16")).rows_are_independent()
    assert not load(onnx_models.row_mixing(tmp_path)).rows_are_independent()
    assert not load(onnx_models.slow(tmp_path, rows=1, size=8)).rows_are_independent()


def test_values_that_cannot_be_computed_are_the_callers_fault(tmp_path: Path) -> None:
    runtime = load(onnx_models.lookup_table(tmp_path))
    with pytest.raises(PredictError) as caught:
        runtime.predict({"i": np.array([7])})
    assert caught.value.invalid_input
    with pytest.raises(PredictError, match="UTF-8"):
        load(onnx_models.identity(tmp_path, "BYTES")).predict(
            {"in_BYTES": np.array([[b"\xff", b""]], dtype=object)}
        )


# --- Pool ----------------------------------------------------------------------------------------------------------


async def test_a_version_is_loaded_once_however_many_ask(
    pool: ModelPool, loader: CountingLoader, tmp_path: Path
) -> None:
    arm = onnx_models.affine(tmp_path)
    pool.use("e", [arm.version_id])
    answers = await asyncio.gather(*(predict(pool, arm) for _ in range(20)))
    assert loader.loads == 1
    assert all(answer["y"][0, 0] == 2 for answer in answers)


async def test_a_failed_load_is_not_repeated_at_once(
    pool: ModelPool, loader: CountingLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = replace(onnx_models.affine(tmp_path), sha256="0" * 64)
    for _ in range(3):
        with pytest.raises(LoadError, match="sha256"):
            await pool.get(arm)
    assert loader.loads == 1
    monkeypatch.setattr(pool_module, "RETRY_LOAD_AFTER_S", 0)
    pool._failed.clear()
    for _ in range(2):
        with pytest.raises(LoadError):
            await pool.get(arm)
    assert loader.loads == 3


async def test_a_version_stays_while_any_endpoint_uses_it(pool: ModelPool, tmp_path: Path) -> None:
    arm = onnx_models.affine(tmp_path)
    pool.use("a", [arm.version_id])
    pool.use("b", [arm.version_id])
    await pool.get(arm)
    pool.use("a", [])
    assert pool.loaded(arm.version_id)
    pool.use("b", [])
    assert pool.loaded(arm.version_id) is None
    assert len(pool) == 0


async def test_a_version_is_unloaded_after_its_last_request(pool: ModelPool, tmp_path: Path) -> None:
    arm = onnx_models.slow(tmp_path)
    pool.use("e", [arm.version_id])
    model = await pool.get(arm)
    running = asyncio.ensure_future(
        model.batcher.predict({"x": np.ones((1, 1), np.float32)}, rows=1, deadline=time.monotonic() + 10)
    )
    await asyncio.sleep(0)
    pool.use("e", [])
    assert np.allclose((await running)["y"], 1, atol=1e-3)
    await pool.close()


async def test_a_hundred_reloads_leave_nothing_behind(tmp_path: Path) -> None:
    pool = ModelPool()
    arms = [onnx_models.affine(tmp_path), onnx_models.affine(tmp_path, factor=3.0)]
    for i in range(100):
        arm = arms[i % 2]
        pool.use("e", [arm.version_id])
        await predict(pool, arm)
    await pool.close()
    assert len(pool) == 0
    left = {thread.name for thread in threading.enumerate()}
    assert not left & {f"model {arm.version_id}" for arm in arms}


# --- Routing -------------------------------------------------------------------------------------------------------


async def shares(router: Router, endpoint: EndpointStub, count: int = 300, **options: str) -> Counter[str]:
    chosen: Counter[str] = Counter()
    for _ in range(count):
        routed, model, *_facts = await router.pick(router.route(endpoint), **options)
        assert model.version == routed.arm.version
        chosen[model.version] += 1
    return chosen


def two_arms(folder: Path, stable: int, canary: int) -> EndpointStub:
    return EndpointStub(
        "m",
        (
            onnx_models.affine(folder, factor=1.0, version="1", weight=stable),
            onnx_models.affine(folder, factor=2.0, version="2", weight=canary),
        ),
    )


async def until_loaded(pool: ModelPool, count: int) -> None:
    for _ in range(500):
        if len(pool) == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(pool)} models are loaded, not {count}")


async def test_traffic_is_split_by_weight_and_a_named_version_bypasses_it(
    pool: ModelPool, tmp_path: Path
) -> None:
    router, endpoint = Router(pool), two_arms(tmp_path, 70, 30)
    await shares(router, endpoint, count=1)
    await until_loaded(pool, 2)
    assert 0.2 < (await shares(router, endpoint))["2"] / 300 < 0.4
    assert await shares(router, endpoint, version="2", count=5) == {"2": 5}
    assert len(await shares(router, endpoint, session="s1", count=20)) == 1


async def test_an_unknown_version_is_named_in_the_refusal(pool: ModelPool, tmp_path: Path) -> None:
    router, endpoint = Router(pool), two_arms(tmp_path, 100, 0)
    with pytest.raises(ProtocolError, match='no version "9"; it has 1, 2') as caught:
        await shares(router, endpoint, version="9")
    assert caught.value.status == 404


async def test_a_new_arm_takes_traffic_only_when_it_is_ready(pool: ModelPool, tmp_path: Path) -> None:
    """Promotion without a wait or an error: the version that is loaded answers until the new one is."""
    router, endpoint = Router(pool), two_arms(tmp_path, 100, 0)
    await shares(router, endpoint, count=1)
    promoted = replace(
        endpoint, arms=(replace(endpoint.arms[0], weight=1), replace(endpoint.arms[1], weight=99))
    )
    began = time.perf_counter()
    assert await shares(router, promoted, count=20) == {"1": 20}
    assert time.perf_counter() - began < 0.04
    await until_loaded(pool, 2)
    assert (await shares(router, promoted))["2"] > 270


async def test_an_arm_that_cannot_be_loaded_takes_no_traffic(pool: ModelPool, tmp_path: Path) -> None:
    whole = two_arms(tmp_path, 10, 90)
    broken = replace(whole, arms=(whole.arms[0], replace(whole.arms[1], sha256="0" * 64)))
    router = Router(pool)
    assert await shares(router, broken, count=20) == {"1": 20}
    with pytest.raises(ProtocolError) as caught:
        await shares(router, broken, version="2", count=1)
    assert caught.value.status == 503


async def test_an_endpoint_without_weight_says_so(pool: ModelPool, tmp_path: Path) -> None:
    router, endpoint = Router(pool), two_arms(tmp_path, 0, 0)
    with pytest.raises(ProtocolError, match="sends traffic to no version"):
        await shares(router, endpoint)
    assert await shares(router, endpoint, version="1", count=1) == {"1": 1}


async def test_what_an_endpoint_no_longer_has_is_unloaded(pool: ModelPool, tmp_path: Path) -> None:
    router, endpoint = Router(pool), two_arms(tmp_path, 50, 50)
    await shares(router, endpoint, count=2)
    await until_loaded(pool, 2)
    await shares(router, replace(endpoint, arms=endpoint.arms[:1]), count=1)
    assert len(pool) == 1


async def test_an_equal_snapshot_keeps_the_route(pool: ModelPool, tmp_path: Path) -> None:
    router, endpoint = Router(pool), two_arms(tmp_path, 50, 50)
    assert router.route(endpoint) is router.route(replace(endpoint))


async def test_idle_and_surplus_routes_release_their_models(pool: ModelPool, tmp_path: Path) -> None:
    router = Router(pool, max_routes=2, idle_unload_s=0.05)
    for i in range(3):
        arm = onnx_models.affine(tmp_path, factor=float(i))
        await shares(router, EndpointStub(f"m{i}", (arm,)), count=1)
    assert len(pool) == 2
    await asyncio.sleep(0.06)
    router.drop_idle()
    assert len(pool) == 0
