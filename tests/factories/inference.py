"""Real ONNX models, versions and endpoints for tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper

from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context

if TYPE_CHECKING:
    from inference.registry.models import ModelVersion
    from inference.rollouts.models import Endpoint

INPUTS: list[dict[str, Any]] = [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
OUTPUTS: list[dict[str, Any]] = [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]


@cache
def adding_model(offset: float = 1.0) -> bytes:
    """An ONNX model that adds `offset` to each of three numbers: its answers can be told by heart."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "offset"], ["y"])],
        "add",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor("offset", TensorProto.FLOAT, [1], [offset])],
    )
    opsets = [helper.make_opsetid("", 17)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return made


@cache
def looping_model(trips: int) -> bytes:
    """Like `adding_model`, but it first counts to `trips`: a model that takes its time."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["still"]),
            helper.make_node("Identity", ["value"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("trip", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["trips", "yes", "x"], ["same"], body=body),
            helper.make_node("Add", ["same", "offset"], ["y"]),
        ],
        "loop",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [
            helper.make_tensor("trips", TensorProto.INT64, [], [trips]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
            helper.make_tensor("offset", TensorProto.FLOAT, [1], [1.0]),
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return made


def make_version(
    principal: Principal,
    *,
    model: str = "adder",
    version: str = "1.0.0",
    artifact: bytes | None = None,
    **overrides: Any,
) -> ModelVersion:
    """A registered, ready version in the principal's tenant."""
    from inference.registry.services import register_model_version

    assert principal.tenant_id is not None
    with TemporaryDirectory() as folder, tenant_context(principal.tenant_id):
        path = Path(folder) / "model.onnx"
        path.write_bytes(adding_model() if artifact is None else artifact)
        values: dict[str, Any] = {
            "format": "onnx",
            "inputs": INPUTS,
            "outputs": OUTPUTS,
            "card": "# Adder",
            "source": ObjectRef(type="tests.source", id="1", digest="0" * 64, label="test"),
            "labels": ["internal"],
        }
        return register_model_version(
            principal=principal, model_name=model, version=version, artifact=path, **values | overrides
        )


def make_endpoint(principal: Principal, version: ModelVersion, *, name: str = "adder") -> Endpoint:
    """An endpoint that sends everything to the version."""
    from inference.rollouts.services import create_endpoint

    assert principal.tenant_id is not None
    with tenant_context(principal.tenant_id):
        return create_endpoint(principal=principal, name=name, model_version_id=version.id)


def training_profile() -> dict[str, Any]:
    """What a version that adds to three numbers was trained on: as many rows in each of ten bins."""
    from inference.rollouts.analysis.profiles import Gathering

    rows = np.repeat(np.linspace(-1, 1, 400, dtype=np.float32)[:, None], 3, axis=1)
    gathering = Gathering(INPUTS)
    gathering.add({"x": rows}, [("", None)] * len(rows))
    return gathering.profile().to_json()
