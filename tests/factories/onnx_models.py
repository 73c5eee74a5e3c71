"""Small ONNX graphs for tests, made with `onnx.helper`: what goes in and comes out is known exactly."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from governance.ids import uuid7

OPSET = [helper.make_opsetid("", 17)]

TENSOR_TYPES = {
    "BOOL": TensorProto.BOOL,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


@dataclass(frozen=True)
class ArmStub:
    """Everything that the hot route wants to know about a version."""

    version: str
    artifact_path: Path
    sha256: str
    inputs: tuple[dict[str, Any], ...]
    outputs: tuple[dict[str, Any], ...]
    weight: int = 100
    version_id: UUID = field(default_factory=uuid7)
    format: str = "onnx"
    reference: Any = None

    @property
    def size_bytes(self) -> int:
        return self.artifact_path.stat().st_size if self.artifact_path.exists() else 0


@dataclass(frozen=True)
class EndpointStub:
    """An endpoint with its arms."""

    name: str
    arms: tuple[ArmStub, ...]
    id: UUID = field(default_factory=uuid7)
    tenant_id: UUID = field(default_factory=uuid7)
    cohorts: tuple[Any, ...] = ()
    shadows: tuple[Any, ...] = ()
    objective_s: float | None = None


def tensor(name: str, datatype: str, *shape: int) -> dict[str, Any]:
    """A declared tensor, as the registry keeps it."""
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def save(
    folder: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
    *,
    constants: dict[str, np.ndarray] | None = None,
    version: str = "1",
    weight: int = 100,
) -> ArmStub:
    """Write a graph and describe it as an arm."""
    graph = helper.make_graph(
        nodes,
        "test",
        [_value(spec) for spec in inputs],
        [_value(spec) for spec in outputs],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=OPSET, ir_version=8)
    data = model.SerializeToString()
    digest = hashlib.sha256(data).hexdigest()
    path = folder / f"{digest}.onnx"
    path.write_bytes(data)
    return ArmStub(version, path, digest, tuple(inputs), tuple(outputs), weight)


def identity(folder: Path, *datatypes: str, **options: Any) -> ArmStub:
    """One input and one output of each datatype, `[-1, 2]`: `in_FP32` comes back as `out_FP32`."""
    return save(
        folder,
        [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for name in datatypes],
        [tensor(f"in_{name}", name, -1, 2) for name in datatypes],
        [tensor(f"out_{name}", name, -1, 2) for name in datatypes],
        **options,
    )


def affine(folder: Path, *, factor: float = 2.0, width: int = 4, **options: Any) -> ArmStub:
    """`y = factor * x`, rows of `width` FP32."""
    return save(
        folder,
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        [tensor("x", "FP32", -1, width)],
        [tensor("y", "FP32", -1, width)],
        constants={"factor": np.array(factor, dtype=np.float32)},
        **options,
    )


def row_mixing(folder: Path, **options: Any) -> ArmStub:
    """A graph whose rows see each other: a softmax over the batch. It must never be batched across callers."""
    return save(
        folder,
        [helper.make_node("Softmax", ["x"], ["y"], axis=0)],
        [tensor("x", "FP32", -1, 4)],
        [tensor("y", "FP32", -1, 4)],
        **options,
    )


def slow(folder: Path, *, rows: int = -1, size: int = 1400, **options: Any) -> ArmStub:
    """`[rows, 1] → [rows, 1]` by way of large matrix products: tens of milliseconds a run; the answer is the input."""
    ones = np.ones((1, size), dtype=np.float32)
    square = np.full((size, size), 1 / size, dtype=np.float32)
    nodes = [helper.make_node("MatMul", ["x", "ones"], ["h0"])]
    # Averaging equal numbers keeps them. The square of a square is computed anew at every run.
    nodes += [helper.make_node("Add", ["square", "zero"], ["s0"])]
    nodes += [helper.make_node("Mul", ["s0", "one_of_x"], ["s1"])]
    nodes += [helper.make_node("MatMul", ["s1", "s1"], ["s2"])]
    nodes += [helper.make_node("MatMul", ["h0", "s2"], ["h1"])]
    nodes += [helper.make_node("ReduceMean", ["h1"], ["y"], axes=[1], keepdims=1)]
    # A one that depends on the input, so that nothing is folded away before the first run.
    nodes.insert(0, helper.make_node("Mul", ["x", "zero"], ["x0"]))
    nodes.insert(1, helper.make_node("ReduceSum", ["x0"], ["x_sum"], keepdims=0))
    nodes.insert(2, helper.make_node("Add", ["x_sum", "one"], ["one_of_x"]))
    return save(
        folder,
        nodes,
        [tensor("x", "FP32", rows, 1)],
        [tensor("y", "FP32", rows, 1)],
        constants={
            "ones": ones,
            "square": square,
            "zero": np.array(0, dtype=np.float32),
            "one": np.array(1, dtype=np.float32),
        },
        **options,
    )


def lookup_table(folder: Path, **options: Any) -> ArmStub:
    """`y = table[i]` for a table of four numbers: an index of 7 is well formed and cannot be computed."""
    return save(
        folder,
        [helper.make_node("Gather", ["table", "i"], ["y"])],
        [tensor("i", "INT64", -1)],
        [tensor("y", "FP32", -1)],
        constants={"table": np.arange(4, dtype=np.float32)},
        **options,
    )


def _value(spec: dict[str, Any]) -> onnx.ValueInfoProto:
    shape = [f"d{i}" if size == -1 else size for i, size in enumerate(spec["shape"])]
    return helper.make_tensor_value_info(spec["name"], TENSOR_TYPES[spec["datatype"]], shape)
