"""Plugin packages for tests: a good one, and the means to spoil it."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from marketplace.review.checks.base import CheckContext, CheckOutcome, run_check
from marketplace.review.checks.registry import get_check

MANIFEST: dict[str, Any] = {
    "$schema": "https://agent-plugins.org/schemas/1.0.0/plugin.schema.json",
    "name": "digits-reader",
    "version": "1.0.0",
    "description": "Reads handwritten digits.",
    "author": {"name": "Acme"},
    "license": "Apache-2.0",
    "extensions": {
        "dev.openclaw": {
            "schema_version": 1,
            "purpose": "document-digitisation",
            "data_labels": ["internal"],
            "permissions": {
                "network": {"allow": []},
                "files": {"read": [], "write": []},
                "secrets": [],
                "tools": [],
            },
            "models": [
                {
                    "name": "scorer",
                    "artifact": "models/model.onnx",
                    "format": "onnx",
                    "card": "models/CARD.md",
                    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
                    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
                }
            ],
            "skills": [
                {
                    "name": "double",
                    "entrypoint": "skills/double/scripts/skill.py:run",
                    "input_schema": {"type": "object"},
                    "output_schema": {"type": "object"},
                    "timeout_s": 5,
                    "memory_mb": 64,
                }
            ],
        }
    },
}
CARD = """# Scorer

## Intended use

Scores four numbers in tests of this repository.

## Training data

Random numbers drawn once with a fixed seed.

## Evaluation

Compared with the same product in NumPy, equal to 1e-6.

## Limitations

It has no meaning at all outside of the tests.

## Licence

Apache-2.0
"""
SKILL = """---
name: double
description: Doubles a number. Use it when twice as much is wanted.
---

Call it with a number.
"""
SCRIPT = 'def run(payload):\n    return {"number": payload["number"] * 2}\n'


def manifest(**extension: Any) -> dict[str, Any]:
    """Return a copy of the good manifest with keys of its extension replaced."""
    document = copy.deepcopy(MANIFEST)
    document["extensions"]["dev.openclaw"].update(extension)
    return document


def value(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    """Return the description of a graph input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def onnx_model(
    nodes: list[NodeProto],
    inputs: list[ValueInfoProto],
    outputs: list[ValueInfoProto],
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    domains: tuple[str, ...] = (),
) -> bytes:
    """Return a serialised ONNX model."""
    tensors = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, tensors)
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def good_model() -> bytes:
    """Return x (batch, 4) → y (batch, 3)."""
    return onnx_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", ["batch", 4])],
        [value("y", ["batch", 3])],
        {"w": np.ones((4, 3), np.float32)},
    )


def endless_model() -> bytes:
    """Return a model with a Loop whose condition stays true."""
    body: GraphProto = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c_out"]), helper.make_node("Add", ["a", "a"], ["a_out"])],
        "body",
        [value("i", [], TensorProto.INT64), value("c", [], TensorProto.BOOL), value("a", ["batch", 4])],
        [value("c_out", [], TensorProto.BOOL), value("a_out", ["batch", 4])],
    )
    loop = helper.make_node("Loop", ["", "forever", "x"], ["y"], body=body)
    return onnx_model(
        [loop], [value("x", ["batch", 4])], [value("y", ["batch", 4])], {"forever": np.array(True)}
    )


def huge_model() -> bytes:
    """Return a model of a few hundred bytes that makes a tensor of 10 GB when it is asked to predict."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Mul", ["shape", "factor"], ["large"]),
        helper.make_node("ConstantOfShape", ["large"], ["tensor"]),
        helper.make_node("ReduceSum", ["tensor"], ["y"], keepdims=0),
    ]
    factor = np.array([1, 625_000_000], np.int64)  # times 4 floats of 4 bytes
    return onnx_model(nodes, [value("x", ["batch", 4])], [value("y", [])], {"factor": factor})


def safetensors(table: Mapping[str, Any], data: bytes = b"") -> bytes:
    """Return a safetensors file with this header and these bytes after it."""
    header = json.dumps(table).encode()
    return len(header).to_bytes(8, "little") + header + data


def files_with(changes: Mapping[str, bytes | str | None]) -> dict[str, bytes]:
    """Return the files of the good package with some replaced, added or (None) left out."""
    files: dict[str, bytes | str | None] = {
        "plugin.json": json.dumps(MANIFEST),
        "LICENSE": "Apache License 2.0",
        "models/model.onnx": good_model(),
        "models/CARD.md": CARD,
        "skills/double/SKILL.md": SKILL,
        "skills/double/scripts/skill.py": SCRIPT,
        **changes,
    }
    return {
        path: data.encode() if isinstance(data, str) else data
        for path, data in files.items()
        if data is not None
    }


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write the files below `folder` and return it."""
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """Return an ordinary ZIP of the files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return buffer.getvalue()


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write an ordinary ZIP of the files to `path` and return it."""
    path.write_bytes(zip_bytes(files))
    return path


RunCheck = Callable[[str, Mapping[str, bytes | str | None]], CheckOutcome]


def check_package(folder: Path, name: str, changes: Mapping[str, bytes | str | None]) -> CheckOutcome:
    """Run the check called `name` on the good package with these changes, packed below `folder`."""
    with CheckContext(archive=write_zip(folder / "plugin.zip", files_with(changes))) as context:
        return run_check(get_check(name), context)


def texts_of(outcome: CheckOutcome) -> list[str]:
    """Return what the publisher reads, finding by finding."""
    return [finding.text() for finding in outcome.findings]
