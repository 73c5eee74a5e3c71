"""The models that are measured, as ONNX graphs with random weights: speed does not depend on what was learnt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Measured:
    """A model with its declared signature and one row that a request carries."""

    name: str
    artifact: Path
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    row: Array

    def request(self) -> dict[str, Any]:
        """The Open Inference Protocol request for one row, as JSON."""
        given = self.inputs[0]
        data = [round(float(value), 4) for value in self.row.reshape(-1)]
        shape = [1, *self.row.shape]
        return {"inputs": [{"name": given["name"], "datatype": "FP32", "shape": shape, "data": data}]}


def make(folder: Path) -> list[Measured]:
    """Write the graphs into `folder`: two that cost little beside a request, and one that costs much more."""
    return [tabular(folder), digits(folder), digits(folder, name="image", channels=192)]


def tabular(folder: Path) -> Measured:
    """An MLP 30-64-64-2 with softmax, as for a table of thirty numbers."""
    weights = _Weights()
    nodes, last = [], "x"
    for layer, (size_in, size_out) in enumerate([(30, 64), (64, 64), (64, 2)]):
        names = [weights.add(f"w{layer}", (size_in, size_out)), weights.add(f"b{layer}", (size_out,))]
        nodes.append(helper.make_node("Gemm", [last, *names], [f"h{layer}"]))
        last = f"h{layer}"
        if layer < 2:
            nodes.append(helper.make_node("Relu", [last], [f"r{layer}"]))
            last = f"r{layer}"
    nodes.append(helper.make_node("Softmax", [last], ["probabilities"], axis=1))
    return _measured(folder, "tab", nodes, weights, "x", (30,), 2)


def digits(folder: Path, *, name: str = "cnn", channels: int = 16, hidden: int = 96) -> Measured:
    """The demo's network for 8x8 images of digits, by default at the size of its better version.

    With 192 channels it takes some 42 million multiply-adds, as much as a ResNet-20 on 32x32 images.
    """
    weights = _Weights()
    convolutions = [
        ("image", weights.add("c0", (channels, 1, 3, 3)), weights.add("d0", (channels,)), "a0"),
        ("r0", weights.add("c1", (2 * channels, channels, 3, 3)), weights.add("d1", (2 * channels,)), "a1"),
    ]
    nodes = []
    for number, (given, kernel, bias, result) in enumerate(convolutions):
        nodes.append(helper.make_node("Conv", [given, kernel, bias], [result], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [result], [f"r{number}"]))
    size = 2 * channels * 16
    nodes += [
        helper.make_node("MaxPool", ["r1"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node(
            "Gemm", ["f", weights.add("w0", (size, hidden)), weights.add("b0", (hidden,))], ["g0"]
        ),
        helper.make_node("Relu", ["g0"], ["g1"]),
        helper.make_node("Gemm", ["g1", weights.add("w1", (hidden, 10)), weights.add("b1", (10,))], ["g2"]),
        helper.make_node("Softmax", ["g2"], ["probabilities"], axis=1),
    ]
    return _measured(folder, name, nodes, weights, "image", (1, 8, 8), 10)


class _Weights:
    """Random constants of a graph, the same at every run."""

    def __init__(self) -> None:
        self.tensors: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def add(self, name: str, shape: tuple[int, ...]) -> str:
        values = self._random.standard_normal(shape).astype(np.float32) / np.sqrt(np.prod(shape[1:]) or 1)
        self.tensors.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name


def _measured(
    folder: Path,
    name: str,
    nodes: list[onnx.NodeProto],
    weights: _Weights,
    given: str,
    row_shape: tuple[int, ...],
    classes: int,
) -> Measured:
    float32 = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(given, float32, ["batch", *row_shape])],
        [helper.make_tensor_value_info("probabilities", float32, ["batch", classes])],
        weights.tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path = folder / f"{name}.onnx"
    onnx.save(model, str(path))
    return Measured(
        name,
        path,
        [{"name": given, "datatype": "FP32", "shape": [-1, *row_shape]}],
        [{"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]}],
        np.random.default_rng(1).random(row_shape, dtype=np.float32),
    )
