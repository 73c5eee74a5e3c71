"""The files of a new plugin: small, complete, and accepted by `openclaw plugin validate` as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from marketplace.catalog.manifest import EXTENSION, MANIFEST_NAME, MANIFEST_SCHEMA

_CARD = """\
# {name}

A linear classifier of four numbers into two classes. It only shows the form: put your own model in its place.

## Intended use

Replace this: who should use the model, for which decision, and what it must not be used for.

## Data

Replace this: where the training data comes from, how much there is, and what was done to it.

## Evaluation

Replace this: which data it was measured on, which figures it reached, and how they were computed.

## Limitations

Replace this: where it is known to fail, and for whom.

## Licence

Apache-2.0
"""

_SKILL = """\
---
name: {skill}
description: Counts the words and characters of a text. Use it when the length of a text matters.
license: Apache-2.0
---

# Count the words of a text

Call it with `{{"text": "…"}}`. The answer is `{{"words": 2, "characters": 9}}`.

Nothing is stored and nothing leaves the sandbox.
"""

_SCRIPT = '''\
"""Count the words of a text. Runs in a sandbox without network, with Python's standard library only."""


def run(payload: dict) -> dict:
    """Return the number of words and characters of `payload["text"]`."""
    text = payload["text"]
    return {"words": len(text.split()), "characters": len(text)}
'''


def write_skeleton(folder: Path, *, name: str, author: str) -> list[str]:
    """Write a plugin called `name` into the new folder `folder`; return the paths written, relative to it.

    Raises FileExistsError if `folder` exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    skill = "count-words"
    texts = {
        MANIFEST_NAME: json.dumps(_manifest(name, author, skill), indent=2, ensure_ascii=False) + "\n",
        "models/CARD.md": _CARD.format(name=name),
        f"skills/{skill}/SKILL.md": _SKILL.format(skill=skill),
        f"skills/{skill}/scripts/skill.py": _SCRIPT,
    }
    for path, text in texts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    (folder / "models" / "model.onnx").write_bytes(_model())
    return sorted([*texts, "models/model.onnx"])


def _manifest(name: str, author: str, skill: str) -> dict[str, Any]:
    text = {
        "type": "object",
        "required": ["text"],
        "properties": {"text": {"type": "string", "maxLength": 100_000}},
    }
    counts = {
        "type": "object",
        "required": ["words", "characters"],
        "properties": {"words": {"type": "integer"}, "characters": {"type": "integer"}},
    }
    return {
        "$schema": MANIFEST_SCHEMA,
        "name": name,
        "version": "0.1.0",
        "description": f"What {name} does, in one sentence.",
        "author": {"name": author},
        "license": "Apache-2.0",
        "extensions": {
            EXTENSION: {
                "schema_version": 1,
                "purpose": "general-assistance",
                "data_labels": ["internal"],
                "permissions": {
                    "network": {"allow": []},
                    "files": {"read": [], "write": []},
                    "secrets": [],
                    "tools": [],
                },
                "models": [
                    {
                        "name": "classifier",
                        "artifact": "models/model.onnx",
                        "format": "onnx",
                        "card": "models/CARD.md",
                        "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}],
                        "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}],
                    }
                ],
                "skills": [
                    {
                        "name": skill,
                        "entrypoint": f"skills/{skill}/scripts/skill.py:run",
                        "input_schema": text,
                        "output_schema": counts,
                        "timeout_s": 5,
                        "memory_mb": 128,
                    }
                ],
            }
        },
    }


def _model() -> bytes:
    """Return an ONNX model: softmax of four numbers times fixed weights."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    weights = np.array([[0.5, -0.5], [0.25, -0.25], [-0.25, 0.25], [-0.5, 0.5]], dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "weights"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=-1),
        ],
        "classifier",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
