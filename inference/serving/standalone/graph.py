"""The signature that an ONNX artifact itself declares, read without running anything of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from inference.serving.standalone.manifest import MAX_RANK, MAX_TENSORS, BrokenEndpoint, Tensors

_DATATYPES = {
    onnx.TensorProto.BOOL: "BOOL",
    onnx.TensorProto.INT8: "INT8",
    onnx.TensorProto.INT16: "INT16",
    onnx.TensorProto.INT32: "INT32",
    onnx.TensorProto.INT64: "INT64",
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.UINT16: "UINT16",
    onnx.TensorProto.UINT32: "UINT32",
    onnx.TensorProto.UINT64: "UINT64",
    onnx.TensorProto.FLOAT16: "FP16",
    onnx.TensorProto.FLOAT: "FP32",
    onnx.TensorProto.DOUBLE: "FP64",
    onnx.TensorProto.STRING: "BYTES",
}


def signature_of(artifact: bytes) -> tuple[Tensors, Tensors]:
    """Inputs and outputs as the protocol names them; an open dimension is -1. Raises BrokenEndpoint."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(artifact)
    except DecodeError:
        raise BrokenEndpoint("the artifact is no ONNX file, or it is cut off") from None
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [tensor for tensor in graph.input if tensor.name not in weights]
    return _tensors(inputs, "inputs"), _tensors(graph.output, "outputs")


def _tensors(values: Iterable[Any], kind: str) -> Tensors:
    tensors = tuple(_tensor(value) for value in values)
    if not 1 <= len(tensors) <= MAX_TENSORS:
        raise BrokenEndpoint(f"the artifact has {len(tensors)} {kind}; 1 to {MAX_TENSORS} can be served")
    return tensors


def _tensor(value: Any) -> dict[str, Any]:
    kind = value.type.tensor_type
    datatype = _DATATYPES.get(kind.elem_type)
    if datatype is None:
        raise BrokenEndpoint(f"{value.name} is no tensor of a datatype that the protocol knows")
    shape = [size.dim_value if size.dim_value > 0 else -1 for size in kind.shape.dim]
    if not 1 <= len(shape) <= MAX_RANK:
        raise BrokenEndpoint(
            f"the artifact does not say the shape of {value.name}: declare inputs and outputs in endpoint.yaml"
        )
    return {"name": value.name, "datatype": datatype, "shape": shape}
