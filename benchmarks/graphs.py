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
    return [tabular(folder), digits(folder), resnet(folder)]


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


def digits(folder: Path, *, channels: int = 16, hidden: int = 96) -> Measured:
    """The demo's network for 8x8 images of digits, at the size of its better version."""
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
    return _measured(folder, "cnn", nodes, weights, "image", (1, 8, 8), 10)


def resnet(folder: Path) -> Measured:
    """ResNet-20 for 32x32 colour images (He et al. 2016, section 4.2), its batch normalisation folded into the weights.

    Some 41 million multiply-adds; a request carries 3,072 numbers, about 21 kB of JSON.
    """
    weights = _Weights()
    nodes: list[onnx.NodeProto] = []

    def convolution(
        given: str, into: str, size_in: int, size_out: int, kernel: int = 3, stride: int = 1
    ) -> str:
        names = [
            weights.add(f"w{into}", (size_out, size_in, kernel, kernel)),
            weights.add(f"b{into}", (size_out,)),
        ]
        pads, strides = [kernel // 2] * 4, [stride, stride]
        nodes.append(helper.make_node("Conv", [given, *names], [into], pads=pads, strides=strides))
        return into

    def positive(given: str) -> str:
        nodes.append(helper.make_node("Relu", [given], [f"{given}+"]))
        return f"{given}+"

    last, size_in = positive(convolution("image", "stem", 3, 16)), 16
    for stage, size in enumerate((16, 32, 64)):
        for block in range(3):
            name, stride = f"s{stage}b{block}", 2 if stage and not block else 1
            inner = positive(convolution(last, f"{name}a", size_in, size, stride=stride))
            outer = convolution(inner, f"{name}b", size, size)
            around = convolution(last, f"{name}c", size_in, size, 1, stride) if size != size_in else last
            nodes.append(helper.make_node("Add", [outer, around], [name]))
            last, size_in = positive(name), size
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", weights.add("w", (64, 10)), weights.add("b", (10,))], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    return _measured(folder, "resnet", nodes, weights, "image", (3, 32, 32), 10)


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
