"""Torch-exported programs: computed as torch itself does, in a process of their own; and read as data, never run."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from django.core.management import CommandError, call_command
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from governance.tenants.context import tenant_context
from inference.registry.models import ModelVersion
from inference.serving import torch_program
from inference.serving.options import ServingOptions
from inference.serving.pool import ModelPool
from inference.serving.runtime import LoadError, PredictError
from inference.serving.runtimes import Runtimes
from inference.serving.signature import Signature
from inference.serving.torch_runtime import TorchRuntime
from tests.factories import torch_programs as programs


class Spectrum(nn.Module):
    """Eigenvalues of a symmetric matrix per row: ONNX has no operator for them."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values = torch.linalg.eigvalsh(x @ x.transpose(1, 2))
        return values, values.argmax(dim=1)


class Network(nn.Module):
    """Convolution, running statistics, attention, a mask, sizes that are computed, and more results than one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.register_buffer("edges", torch.linspace(-1, 1, 5))
        self.last = nn.Linear(8, 3)

    def forward(self, image: torch.Tensor, keep: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = torch.relu(self.norm(self.first(image))).flatten(2).transpose(1, 2)
        found, _ = self.attention(found, found, found)
        scores = self.last(found.mean(dim=1)).masked_fill(~keep, float("-inf"))
        top, where = scores.softmax(dim=1).topk(2, dim=1)
        binned = torch.bucketize(image.reshape(image.shape[0], -1)[:, ::7].contiguous(), self.edges)
        left, right = torch.chunk(scores, 2, dim=1)
        return (
            top,
            where,
            binned,
            torch.cat((right, left), dim=1).nan_to_num(neginf=-9.0),
            image.amax((1, 2, 3)),
        )


class Guarded(nn.Module):
    """Takes only what it was told to expect."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.arange(12.0).reshape(4, 3))

    def forward(self, index: torch.Tensor) -> torch.Tensor:
        return self.table[index]


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.add_(1)
        return x + self.seen


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda y: y + 1, lambda y: y - 1, (x,))


def random(*shape: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(len(shape)).standard_normal(shape), dtype=torch.float32)


@pytest.fixture(scope="module")
def spectrum() -> bytes:
    return programs.export(Spectrum(), random(2, 3, 3))


def here(folder: Path, archive: bytes) -> TorchRuntime:
    arm = programs.arm(folder, archive)
    signature = Signature.declared(arm.inputs, arm.outputs)
    return TorchRuntime.load(arm.artifact_path, sha256=arm.sha256, signature=signature)


async def test_a_program_behind_an_endpoint_computes_what_torch_does(tmp_path: Path, spectrum: bytes) -> None:
    arm = programs.arm(tmp_path, spectrum, "eigenvalues", "largest")
    assert arm.inputs == ({"name": "x", "datatype": "FP32", "shape": [-1, 3, 3]},)
    pool = ModelPool(loader=Runtimes(ServingOptions()))
    model = await pool.get(arm)
    assert model.batcher.batchable
    assert model.runtime.memory_bytes > 50 * 2**20  # of a process that has torch
    x = random(5, 3, 3)
    answer = await model.batcher.predict({"x": x.numpy()}, rows=5, deadline=time.monotonic() + 60)
    expected = Spectrum()(x)
    np.testing.assert_allclose(answer["eigenvalues"], expected[0].numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(answer["largest"], expected[1].numpy())
    await pool.close()


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_every_kind_of_argument_and_result(tmp_path: Path, rows: int) -> None:
    torch.manual_seed(0)
    network = Network().eval()
    runtime = here(tmp_path, programs.export(network, random(2, 1, 6, 6), torch.ones(2, 3, dtype=torch.bool)))
    image, keep = random(rows, 1, 6, 6), torch.arange(3 * rows).reshape(rows, 3) % 4 != 1
    with torch.no_grad():
        expected = network(image, keep)
    for wanted, got in zip(
        expected, runtime.predict({"image": image.numpy(), "keep": keep.numpy()}).values(), strict=True
    ):
        np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-5, atol=1e-6)
    assert runtime.rows_are_independent()


def test_an_input_that_the_program_does_not_take_is_the_callers_fault(tmp_path: Path) -> None:
    runtime = here(tmp_path, programs.export(Guarded(), torch.tensor([1, 2])))
    assert next(iter(runtime.predict({"index": np.array([3])}).values())).tolist() == [[9, 10, 11]]
    with pytest.raises(PredictError) as found:
        runtime.predict({"index": np.array([4])})
    assert found.value.invalid_input


def test_a_program_that_is_more_than_a_list_of_operators_is_refused() -> None:
    with pytest.raises(LoadError, match="only operators"):
        torch_program.parse(programs.export(Branching(), random(2, 3), batch=False))


def test_a_program_that_would_remember_its_callers_is_refused(tmp_path: Path) -> None:
    runtime = here(tmp_path, programs.export(Counting(), random(2, 3)))
    with pytest.raises(LoadError, match="keeps no state"):
        runtime.warm_up()
    with pytest.raises(PredictError, match="keeps no state"):
        runtime.predict({"x": random(1, 3).numpy()})


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "_operator.attrgetter",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.set_.source_Storage",
        "torch.ops.prims.fma.default",
        "torch.ops.aten.__class__",
        "torch.ops.aten.add.Tensor.__globals__",
        "torch._ops.aten.add.Tensor",
    ],
)
def test_no_call_but_of_an_operator(tmp_path: Path, spectrum: bytes, target: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document["graph_module"]["graph"]["nodes"][0]["target"] = target

    with pytest.raises(LoadError, match="only operators"):
        torch_program.parse(programs.with_graph(spectrum, change))


def test_nothing_in_the_archive_is_unpickled_or_evaluated(tmp_path: Path, spectrum: bytes) -> None:
    touched = tmp_path / "touched"

    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(touched),)

    def edit(members: dict[str, bytes]) -> None:
        members["data/sample_inputs/model.pt"] = pickle.dumps(Touch())
        document = json.loads(members["models/model.json"])
        code = f"__import__('os').mkdir({str(touched)!r})"
        for meta in document["graph_module"]["graph"]["tensor_values"].values():
            for size in meta["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = code
        document["guards_code"] = [code]
        members["models/model.json"] = json.dumps(document).encode()

    archive = programs.edited(spectrum, edit)
    assert b"__import__" in archive
    assert here(tmp_path, archive).predict({"x": random(1, 3, 3).numpy()})
    assert not touched.exists()


def test_hostile_archives(tmp_path: Path) -> None:
    archive = programs.export(nn.Linear(3, 2), random(2, 3))
    config = "data/weights/model_weights_config.json"

    def pickled(members: dict[str, bytes]) -> None:
        members[config] = members[config].replace(b'"use_pickle": false', b'"use_pickle": true')

    def beyond(members: dict[str, bytes]) -> None:
        members[config] = members[config].replace(b'"as_int": 3', b'"as_int": 3000000')

    def short(members: dict[str, bytes]) -> None:
        members["data/weights/weight_0"] = members["data/weights/weight_0"][:5]

    def nested(members: dict[str, bytes]) -> None:
        members["models/model.json"] = b"[" * 100_000

    for edit, says in (
        (pickled, "pickle"),
        (beyond, "not what it says"),
        (short, "not what it says"),
        (nested, "as expected"),
        (lambda members: members.pop("models/model.json"), "as expected"),
        (lambda members: members.pop("data/weights/weight_1"), "as expected"),
    ):
        with pytest.raises(LoadError, match=says):
            here(tmp_path, programs.edited(archive, edit))
    with pytest.raises(LoadError, match="compressed"):
        torch_program.parse(programs.edited(archive, lambda members: None, compress=True))
    for newer in (7, 9):
        with pytest.raises(LoadError, match=f"version {newer}"):
            torch_program.parse(
                programs.with_graph(archive, lambda d, n=newer: d["schema_version"].update(major=n))
            )
    with pytest.raises(LoadError, match=r"no \.pt2 archive"):
        torch_program.parse(archive[: len(archive) // 2])


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_whatever_the_graph_says_it_is_refused_or_computed(
    tmp_path: Path, spectrum: bytes, data: st.DataObject
) -> None:
    def places(value: Any) -> list[tuple[Any, Any]]:
        keys = (
            value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        )
        return [place for key in keys for place in ((value, key), *places(value[key]))]

    def change(document: dict[str, Any]) -> None:
        holder, key = data.draw(st.sampled_from(places(document["graph_module"])))
        holder[key] = data.draw(
            st.sampled_from([None, 0, -1, 2**40, "x", [], {}, {"as_int": 1}, True, 1e300])
        )

    archive = programs.with_graph(spectrum, change)
    with suppress(LoadError, PredictError):
        here(tmp_path, archive).predict({"x": random(1, 3, 3).numpy()})


def test_a_signature_that_is_not_the_programs(tmp_path: Path, spectrum: bytes) -> None:
    arm = programs.arm(tmp_path, spectrum)
    x, (values, largest) = arm.inputs[0], arm.outputs
    for inputs, outputs in (
        ([{**x, "name": "y"}], [values, largest]),
        ([{**x, "datatype": "FP64"}], [values, largest]),
        ([{**x, "shape": [-1, 4, 3]}], [values, largest]),
        ([x], [values]),
        ([x], [largest, values]),
    ):
        with pytest.raises(LoadError):
            TorchRuntime.load(
                arm.artifact_path, sha256=arm.sha256, signature=Signature.declared(inputs, outputs)
            )


def test_reading_a_program_needs_no_torch() -> None:
    code = "import sys, inference.serving.torch_program, inference.serving.child; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.django_db(transaction=True)
def test_the_operator_registers_a_program(org: Any, tmp_path: Path, spectrum: bytes) -> None:
    file = tmp_path / "spectrum.pt2"
    file.write_bytes(spectrum)
    options: dict[str, Any] = {"tenant": org.slug, "model": "spectrum", "model_version": "1.0.0"}
    with pytest.raises(CommandError, match="2 outputs"):
        call_command("register_torch_model", str(file), output=["one"], **options)
    for _ in range(2):
        call_command("register_torch_model", str(file), output=["eigenvalues", "largest"], **options)
    with tenant_context(org.id), transaction.atomic():
        version = ModelVersion.objects.get()
        assert (version.format, version.state) == ("torch-export", "ready")
        assert version.inputs == [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 3]}]
        assert [output["name"] for output in version.outputs] == ["eigenvalues", "largest"]
    file.write_bytes(b"no archive")
    with pytest.raises(CommandError, match=r"no \.pt2 archive"):
        call_command("register_torch_model", str(file), **options)
