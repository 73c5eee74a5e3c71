"""Small convolutional networks: trained with torch, exported to ONNX with their preprocessing inside."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from scripts.capabilities.graphs import Array

OPSET = 18


def block(channels_in: int, channels: int, *, dilation: int = 1) -> nn.Sequential:
    """A convolution that keeps the size, with its normalisation over the batch."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


def fit(
    model: nn.Module,
    batches: Callable[[int], tuple[torch.Tensor, torch.Tensor]],
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    *,
    steps: int,
    rate: float,
) -> None:
    """Fit `model.scores` in place; the rate rises and falls once."""
    torch.set_num_threads(1)  # on shared cores, threads that wait for each other cost more than they give
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    model.train()
    for step in range(steps):
        inputs, wanted = batches(step)
        optimiser.zero_grad()
        found = loss(model.scores(inputs), wanted)  # type: ignore[operator]
        found.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"  step {step} of {steps}: loss {float(found.detach()):.4f}", flush=True)
    model.eval()


def export(model: nn.Module, example: Array, *, given: str, outputs: Sequence[str]) -> onnx.ModelProto:
    """One ONNX graph whose batch size is free. Raises when ONNX Runtime disagrees with torch."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            model,
            (torch.tensor(example[:2]),),
            str(path),
            input_names=[given],
            output_names=list(outputs),
            dynamic_shapes=({0: torch.export.Dim("rows")},),
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
        made = onnx.load(path)
    for node in made.graph.node:
        del node.metadata_props[:]  # where in which file of this machine it was traced
        node.doc_string = ""
    for value in made.graph.value_info:
        del value.metadata_props[:]
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected: Any = model(torch.tensor(example[:4]))
    wanted = expected if isinstance(expected, tuple) else (expected,)
    for mine, theirs in zip(session.run(None, {given: example[:4]}), wanted, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-3, atol=1e-4)
    return made


def name_classes(made: onnx.ModelProto, labels: Sequence[str]) -> None:
    """Add an output `label`: the name of the likeliest class of `probabilities`."""
    graph = made.graph
    graph.initializer.append(numpy_helper.from_array(np.array(list(labels), dtype=object), "labels"))
    graph.node.append(helper.make_node("ArgMax", ["probabilities"], ["best"], axis=1, keepdims=0))
    graph.node.append(helper.make_node("Gather", ["labels", "best"], ["label"]))
    graph.output.append(helper.make_tensor_value_info("label", TensorProto.STRING, ["rows"]))
