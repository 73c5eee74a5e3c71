"""Open Inference Protocol v2 over REST: from the bytes of a request to tensors, and from tensors to an answer.

Sources: kserve/open-inference-protocol `specification/protocol/inference_rest.md` and Triton's binary tensor data
extension. A request is read in two steps, because the version that answers, and with it the signature, may depend on
a parameter of the request: `parse_request` reads the envelope, `InferenceRequest.tensors` the data.

Numeric data goes from JSON text into a buffer without a Python object per number (simdjson): less than half the time
of `json` → list → array for an image, and it refuses strings, nulls and booleans where numbers belong. A parser is
made for every request: it costs a third of a microsecond, and a shared one cannot be used again while anything
still points into its last document. Its objects are only asked for what they have: what is missing costs an exception,
two microseconds each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from math import prod
from typing import Any

import numpy as np
import orjson
import simdjson

from inference.serving import binary
from inference.serving.datatypes import DATATYPES, Datatype, Tensor, Tensors
from inference.serving.errors import ProtocolError
from inference.serving.signature import Signature, TensorSpec

EXTENSIONS = ("binary_tensor_data", "model_repository", "statistics", "model_configuration")
MAX_ID_LENGTH = 256
MAX_DIMENSION = 2**31 - 1

_NO_BYTES = memoryview(b"")
# How simdjson lays out numbers: 64 bits each, in this machine's order.
_BUFFERS = {"d": np.dtype("<f8"), "i": np.dtype("<i8"), "u": np.dtype("<u8")}


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """One tensor of an answer and how it travels."""

    spec: TensorSpec
    tensor: Tensor
    binary: bool


@dataclass(slots=True)
class InferenceRequest:
    """The envelope of a request. `raw` holds the binary tensors that follow the JSON part."""

    id: str
    parameters: dict[str, Any]
    _inputs: list[Any]
    _outputs: list[Any]
    raw: memoryview = field(default=_NO_BYTES)
    binary_output: bool = False

    def tensors(self, signature: Signature) -> Tensors:
        """The input tensors, checked against what the model declares. Raises ProtocolError (400)."""
        tensors: Tensors = {}
        position = 0
        for given in self._inputs:
            item = _members(given, "name", "datatype", "shape", "data", "parameters")
            name = _string(item, "name", "an input")
            spec = signature.inputs.get(name)
            if spec is None:
                raise _bad(f'unknown input "{name}"; the model expects {signature.expected_inputs}')
            if name in tensors:
                raise _bad(f'input "{name}" is given twice')
            datatype, shape = _declared_form(item, spec)
            size = _binary_size(item, name)
            if size is None:
                flat = _json_data(item, spec, datatype, prod(shape))
            else:
                part = self.raw[position : position + size]
                position += size
                if len(part) < size:
                    raise _bad(
                        f'input "{name}": {size} bytes of binary data announced, {len(part)} are there'
                    )
                try:
                    flat = binary.decode(part, datatype, prod(shape))
                except ValueError as error:
                    raise _bad(f'input "{name}": {error}') from None
                if not flat.flags.aligned:
                    flat = flat.copy()
            tensors[name] = flat.reshape(shape)
        if len(tensors) < len(signature.inputs):
            missing = ", ".join(str(spec) for name, spec in signature.inputs.items() if name not in tensors)
            raise _bad(f"missing input: {missing}")
        if position != len(self.raw):
            raise _bad(f"{len(self.raw)} bytes of binary data sent, the inputs announce {position}")
        return tensors

    def outputs(self, signature: Signature) -> list[tuple[TensorSpec, bool]]:
        """The outputs to answer with, in the order asked for, and whether each travels as binary data."""
        if not self._outputs:
            return [(spec, self.binary_output) for spec in signature.outputs.values()]
        wanted = []
        for item in self._outputs:
            if not isinstance(item, dict):
                raise _bad('each of "outputs" must be an object with a "name"')
            name = item.get("name")
            spec = signature.outputs.get(name) if isinstance(name, str) else None
            if spec is None:
                raise _bad(f'unknown output "{name}"; the model gives {signature.expected_outputs}')
            parameters = item.get("parameters") or {}
            if not isinstance(parameters, dict):
                raise _bad(f'output "{name}": "parameters" must be an object')
            for unsupported in ("classification", "shared_memory_region"):
                if unsupported in parameters:
                    raise _bad(f'output "{name}": the parameter "{unsupported}" is not supported')
            wanted.append((spec, _flag(parameters, "binary_data", self.binary_output)))
        return wanted


def parse_request(body: bytes, header_length: int | None = None) -> InferenceRequest:
    """Read the envelope of an inference request.

    `header_length` is the value of Inference-Header-Content-Length: the size in bytes of the JSON part when binary
    tensors follow it. Raises ProtocolError (400) that says what is wrong.
    """
    raw = _NO_BYTES
    if header_length is not None:
        if not 0 < header_length <= len(body):
            raise _bad(
                f"Inference-Header-Content-Length is {header_length}, but the body has {len(body)} bytes"
            )
        raw = memoryview(body)[header_length:]
        body = body[:header_length]
    try:
        parsed = simdjson.Parser().parse(body)
    except (ValueError, RuntimeError) as error:
        raise _bad(f"the request is not valid JSON: {_reason(error)}") from None
    if not isinstance(parsed, simdjson.Object):
        raise _bad('the request must be a JSON object with "inputs"')
    document = _members(parsed, "inputs", "outputs", "id", "parameters")
    inputs = document.get("inputs")
    if not isinstance(inputs, simdjson.Array) or not len(inputs):
        raise _bad('"inputs" must be a list with at least one tensor')
    outputs = document.get("outputs")
    if outputs is not None and not isinstance(outputs, simdjson.Array):
        raise _bad('"outputs" must be a list')
    request_id = document.get("id")
    if request_id is None:
        request_id = ""
    elif not isinstance(request_id, str) or len(request_id) > MAX_ID_LENGTH:
        raise _bad(f'"id" must be a string of at most {MAX_ID_LENGTH} characters')
    parameters = _parameters(document, "the request")
    return InferenceRequest(
        id=request_id,
        parameters=parameters,
        _inputs=list(inputs),
        _outputs=outputs.as_list() if outputs is not None else [],
        raw=raw,
        binary_output=_flag(parameters, "binary_data_output", False),
    )


def encode_response(
    *,
    model_name: str,
    model_version: str,
    request_id: str,
    parameters: dict[str, Any],
    outputs: Iterable[OutputTensor],
) -> tuple[bytes, int | None]:
    """The body of an answer, and the size in bytes of its JSON part when binary tensors follow it.

    JSON knows neither NaN nor infinities: they become null there, and are kept in binary data.
    """
    described: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for output in outputs:
        spec, tensor = output.spec, output.tensor
        item: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": tensor.shape}
        if output.binary:
            part = binary.encode(tensor, spec.datatype)
            item["parameters"] = {"binary_data_size": len(part)}
            parts.append(part)
        else:
            item["data"] = _json_values(tensor, spec)
        described.append(item)
    answer: dict[str, Any] = {"model_name": model_name, "model_version": model_version}
    if request_id:
        answer["id"] = request_id
    answer["parameters"] = parameters
    answer["outputs"] = described
    header = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join((header, *parts)), len(header)) if parts else (header, None)


def _json_values(tensor: Tensor, spec: TensorSpec) -> Tensor | list[str]:
    if spec.datatype != "BYTES":
        return tensor.reshape(-1).astype(DATATYPES[spec.datatype].dtype, copy=False)
    try:
        return [value if isinstance(value, str) else bytes(value).decode() for value in tensor.reshape(-1)]
    except UnicodeDecodeError:
        raise _bad(
            f'output "{spec.name}" holds bytes that are no UTF-8 text: ask for it with "binary_data": true'
        ) from None


def _declared_form(item: dict[str, Any], spec: TensorSpec) -> tuple[Datatype, tuple[int, ...]]:
    """The datatype and shape that an input claims, which must be those that the model declares."""
    if item.get("datatype") != spec.datatype:
        raise _bad(
            f'input "{spec.name}" has datatype {item.get("datatype")}; the model expects {spec.datatype}'
        )
    given = item.get("shape")
    shape: tuple[Any, ...] = tuple(given.as_list()) if isinstance(given, simdjson.Array) else (0,)
    for size in shape:
        if type(size) is not int or not 0 < size <= MAX_DIMENSION:
            raise _bad(f'input "{spec.name}": "shape" must be a list of positive integers')
    if not spec.accepts(shape):
        raise _bad(f'input "{spec.name}" has shape {list(shape)}; the model expects {list(spec.shape)}')
    return DATATYPES[spec.datatype], shape


def _binary_size(item: dict[str, Any], name: str) -> int | None:
    parameters = _parameters(item, f'input "{name}"')
    if not parameters:
        return None
    if "shared_memory_region" in parameters:
        raise _bad(f'input "{name}": shared memory is not supported; send the data in the request')
    size = parameters.get("binary_data_size")
    if size is not None and (type(size) is not int or size < 0):
        raise _bad(f'input "{name}": "binary_data_size" must be a number of bytes')
    if size is not None and item.get("data") is not None:
        raise _bad(f'input "{name}" has both "data" and "binary_data_size"')
    return size


def _json_data(item: dict[str, Any], spec: TensorSpec, datatype: Datatype, count: int) -> Tensor:
    data = item.get("data")
    if not isinstance(data, simdjson.Array):
        raise _bad(f'input "{spec.name}": "data" must be a list (or binary data must follow the JSON part)')
    try:
        flat = (
            _numbers(data, datatype) if datatype.json_buffer else _elements(data, datatype, len(spec.shape))
        )
    except (TypeError, ValueError, FloatingPointError):
        raise _bad(
            f'input "{spec.name}": "data" of datatype {datatype.name} must hold only {datatype.describe_values()}'
        ) from None
    if flat.size != count:
        raise _bad(f'input "{spec.name}": the shape asks for {count} elements, "data" holds {flat.size}')
    return flat


def _numbers(data: Any, datatype: Datatype) -> Tensor:
    """A JSON array, flat or nested, as numbers. Raises TypeError or ValueError on anything else in it."""
    kind = datatype.json_buffer
    return narrowed(np.frombuffer(data.as_buffer(of_type=kind), dtype=_BUFFERS[kind]), datatype)


def narrowed(wide: Tensor, datatype: Datatype) -> Tensor:
    """Numbers as the declared datatype. Raises ValueError or FloatingPointError for one that does not fit."""
    if wide.dtype == datatype.dtype:
        return wide
    if datatype.json_buffer == "d":
        with np.errstate(over="raise"):
            return wide.astype(datatype.dtype)
    narrow = wide.astype(datatype.dtype)
    if not np.array_equal(narrow, wide):
        raise ValueError("out of range")
    return narrow


def _elements(data: Any, datatype: Datatype, rank: int) -> Tensor:
    """A JSON array, flat or nested at most as deep as the shape, of booleans or strings."""
    values = data.as_list()
    for _ in range(rank - 1):
        if not any(isinstance(value, list) for value in values):
            break
        values = list(chain.from_iterable(v if isinstance(v, list) else [v] for v in values))
    wanted = bool if datatype.name == "BOOL" else str
    if not all(type(value) is wanted for value in values):
        raise TypeError("wrong element")
    if wanted is bool:
        return np.array(values, dtype=np.bool_)
    tensor = np.empty(len(values), dtype=object)
    tensor[:] = [value.encode() for value in values]
    return tensor


def _parameters(item: dict[str, Any], where: str) -> dict[str, Any]:
    parameters = item.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, simdjson.Object):
        raise _bad(f'{where}: "parameters" must be an object')
    values: dict[str, Any] = parameters.as_dict()
    return values


def _flag(parameters: dict[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise _bad(f'the parameter "{name}" must be true or false')
    return value


def _members(item: Any, *names: str) -> dict[str, Any]:
    """Those of these members that a JSON object has; nothing of what is no object."""
    if not isinstance(item, simdjson.Object):
        return {}
    there = set(item.keys())
    return {name: item[name] for name in names if name in there}


def _string(item: dict[str, Any], key: str, where: str) -> str:
    value = item.get(key)
    if not isinstance(value, str):
        raise _bad(f'{where} has no "{key}"')
    return value


def _reason(error: Exception) -> str:
    """simdjson's own words, without its error code."""
    text = str(error).split(": ", 1)[-1].strip()
    return text.split(".")[0][:200]


def _bad(message: str) -> ProtocolError:
    return ProtocolError(400, message)
