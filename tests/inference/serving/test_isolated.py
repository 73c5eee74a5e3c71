"""Models in processes of their own: what ends the model does not end the site, and it comes back by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from onnx import helper

from inference.serving import isolated
from inference.serving.datatypes import DATATYPES
from inference.serving.errors import Overloaded
from inference.serving.isolated import IsolatedRuntime
from inference.serving.options import MIB, ChildLimits, ServingOptions
from inference.serving.pool import ModelPool
from inference.serving.runtime import LoadError, OnnxOptions, PredictError
from inference.serving.runtimes import Runtimes
from inference.serving.signature import Signature
from tests.factories import onnx_models
from tests.factories.onnx_models import ArmStub

X = {"x": np.array([[1, 2, 3, 4]], dtype=np.float32)}
ONE = {"x": np.ones((1, 1), np.float32)}


def start(arm: ArmStub, **limits: Any) -> IsolatedRuntime:
    return IsolatedRuntime.load(
        arm.artifact_path,
        sha256=arm.sha256,
        signature=Signature.declared(arm.inputs, arm.outputs),
        options=OnnxOptions(),
        limits=ChildLimits(**limits),
    )


@pytest.fixture
def doubler(tmp_path: Path) -> Iterator[IsolatedRuntime]:
    made = start(onnx_models.affine(tmp_path))
    yield made
    made.close()


def memory_eater(folder: Path) -> ArmStub:
    """`y` has as many numbers as the input says."""
    return onnx_models.save(
        folder,
        [helper.make_node("ConstantOfShape", ["n"], ["y"])],
        [onnx_models.tensor("n", "INT64", 1)],
        [onnx_models.tensor("y", "FP32", -1)],
    )


def test_every_datatype_goes_there_and_back(tmp_path: Path) -> None:
    sent = {
        f"in_{name}": np.array([[b"chat", "été".encode()]], dtype=object)
        if name == "BYTES"
        else np.array([[1, 0]], dtype=DATATYPES[name].dtype)
        for name in DATATYPES
    }
    runtime = start(onnx_models.identity(tmp_path, *DATATYPES))
    try:
        assert runtime.rows_are_independent()
        assert runtime.memory_bytes > 20 * MIB
        for rows in (1, 5000):
            many = {name: np.repeat(tensor, rows, axis=0) for name, tensor in sent.items()}
            answer = runtime.predict(many)
            for name, tensor in many.items():
                assert np.array_equal(answer[f"out_{name[3:]}"], tensor), name
    finally:
        runtime.close()


def test_a_child_knows_no_secrets_and_ends_with_its_model(doubler: IsolatedRuntime) -> None:
    assert doubler.pid is not None
    child = psutil.Process(doubler.pid)
    assert set(child.environ()) <= {"LC_ALL", "OMP_NUM_THREADS", "ORT_DISABLE_TELEMETRY"}
    sockets = [file for file in os.listdir(f"/proc/{child.pid}/fd") if int(file) > 2]
    assert len(sockets) == 1
    doubler.close()
    assert not child.is_running()


def test_a_child_is_confined_and_leaves_nothing_behind(doubler: IsolatedRuntime) -> None:
    process = psutil.Process(doubler.pid)
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
        if "\t" in line
    )
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "1"
    folder = Path(process.cmdline()[-1])
    assert folder.is_dir()
    doubler.close()
    assert not folder.exists()


def test_a_crash_is_a_503_and_the_model_comes_back(
    doubler: IsolatedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "FIRST_PAUSE_S", 0.5)
    assert doubler.predict(X)["y"].tolist() == [[2, 4, 6, 8]]
    assert doubler.pid is not None
    os.kill(doubler.pid, signal.SIGSEGV)
    with pytest.raises(Overloaded) as caught:
        doubler.predict(X)
    assert caught.value.status == 503
    assert dict(caught.value.headers)[b"retry-after"] == b"1"
    assert not doubler.ready()
    with pytest.raises(Overloaded):
        doubler.predict(X)
    assert doubler.pid is None, "it is not started again before its pause is over"
    time.sleep(0.5)
    assert doubler.predict(X)["y"].tolist() == [[2, 4, 6, 8]]
    assert doubler.ready()


def test_pauses_grow_while_it_keeps_crashing(
    doubler: IsolatedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.monotonic()]
    monkeypatch.setattr(isolated.time, "monotonic", lambda: now[0])
    pauses = []
    for _ in range(4):
        assert doubler.predict(X)["y"][0, 0] == 2
        assert doubler.pid is not None
        os.kill(doubler.pid, signal.SIGKILL)
        with pytest.raises(Overloaded) as caught:
            doubler.predict(X)
        pauses.append(int(dict(caught.value.headers)[b"retry-after"]))
        now[0] += pauses[-1]
    assert pauses == [1, 1, 2, 4]


def test_an_input_that_takes_all_memory_fails_alone(tmp_path: Path) -> None:
    runtime = start(memory_eater(tmp_path), address_space_bytes=2048 * MIB)
    try:
        with pytest.raises(PredictError):
            runtime.predict({"n": np.array([2**32])})
        assert len(runtime.predict({"n": np.array([7])})["y"]) == 7
    finally:
        runtime.close()


def test_a_run_without_an_end_is_ended(tmp_path: Path) -> None:
    runtime = start(onnx_models.slow(tmp_path), run_timeout_s=0.001)
    pid = runtime.pid
    assert pid is not None
    with pytest.raises(Overloaded):
        runtime.predict(ONE)
    assert not psutil.pid_exists(pid)
    runtime.close()


@pytest.mark.parametrize("nonsense", [ValueError("no JSON"), KeyError("z"), TypeError("7")])
def test_a_child_that_talks_nonsense_is_ended(
    doubler: IsolatedRuntime, monkeypatch: pytest.MonkeyPatch, nonsense: Exception
) -> None:
    def receive(*_arguments: Any) -> Any:
        raise nonsense

    pid = doubler.pid
    assert pid is not None
    monkeypatch.setattr(isolated.framing, "receive", receive)
    with pytest.raises(Overloaded):
        doubler.predict(X)
    assert not psutil.pid_exists(pid)


def test_an_artifact_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    arm = onnx_models.affine(tmp_path)
    arm.artifact_path.write_bytes(b"changed")
    with pytest.raises(LoadError, match="sha256"):
        start(arm)


def test_a_trial_load_takes_the_crash(tmp_path: Path) -> None:
    """Limits too small for the runtime itself: whatever comes of it happens to the child, and this process knows."""
    arm = onnx_models.affine(tmp_path)
    signature = Signature.declared(arm.inputs, arm.outputs)
    runtimes = Runtimes(ServingOptions(child=ChildLimits(address_space_bytes=16 * MIB)))
    with pytest.raises(LoadError):
        runtimes.load(arm, signature)
    runtimes = Runtimes(ServingOptions(child=ChildLimits(load_timeout_s=0.001)))
    with pytest.raises(LoadError, match="did not answer in time"):
        runtimes.load(arm, signature)
    assert Runtimes(ServingOptions()).load(arm, signature).predict(X)["y"][0, 0] == 2


def test_a_trial_happens_once_for_an_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    load = IsolatedRuntime.load
    monkeypatch.setattr(IsolatedRuntime, "load", lambda *a, **k: started.append(a) or load(*a, **k))
    arm, runtimes = onnx_models.affine(tmp_path), Runtimes(ServingOptions())
    for _ in range(3):
        runtimes.load(arm, Signature.declared(arm.inputs, arm.outputs)).close()
    assert len(started) == 1


async def test_a_crash_under_load_answers_everybody_and_spares_the_neighbour(tmp_path: Path) -> None:
    pool = ModelPool(loader=Runtimes(ServingOptions(isolated=True)))
    slow, other = onnx_models.slow(tmp_path, rows=1), onnx_models.affine(tmp_path)
    pool.use("e", [slow.version_id, other.version_id])
    model, neighbour = await pool.get(slow), await pool.get(other)
    deadline = time.monotonic() + 20
    calls = [asyncio.ensure_future(model.batcher.predict(ONE, rows=1, deadline=deadline)) for _ in range(20)]
    await asyncio.sleep(0)
    os.kill(model.runtime.pid, signal.SIGABRT)  # type: ignore[attr-defined]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, Overloaded | dict) for answer in answers), answers
    assert any(isinstance(answer, Overloaded) for answer in answers)
    assert model.batcher.depth == 0
    assert (await neighbour.batcher.predict(X, rows=1, deadline=deadline))["y"][0, 0] == 2
    await pool.close()
    assert not any(thread.name.startswith("model ") for thread in threading.enumerate())
