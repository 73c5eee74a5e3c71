"""A torch-exported program (`torch.export.save`, a `.pt2` archive) read as data: a list of ATen calls and its weights.

`torch.export.load` is not used, because it trusts what it reads: it unpickles what does not load otherwise, and has
SymPy evaluate the sizes, which are text in the archive. Here the graph is JSON with operators of one namespace, the
weights are bytes, and everything else in the archive (its pickled sample inputs, stack traces, sizes) is not looked at.
This module does not import torch; `torch_runtime` computes what it reads.

Source: torch/_export/serde/schema.py, version 8 of the schema (torch 2.9 and later write it).
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from inference.serving.runtime import LoadError

SCHEMA_MAJOR = 8
MAX_GRAPH_BYTES = 64 * 1024 * 1024
MAX_MEMBERS = 100_000

# ScalarType of the schema, as far as the protocol has the datatype.
DATATYPES = {
    1: "UINT8", 2: "INT8", 3: "INT16", 4: "INT32", 5: "INT64", 6: "FP16", 7: "FP32", 8: "FP64", 12: "BOOL",
    28: "UINT16", 34: "UINT32", 35: "UINT64",
}  # fmt: skip

# Calls on sizes. Whatever else is no ATen operator is refused.
SIZE_CALLS = frozenset(
    {
        *(f"_operator.{name}" for name in ("add", "sub", "mul", "floordiv", "mod", "neg", "pow")),
        *(f"_operator.{name}" for name in ("eq", "ne", "lt", "le", "gt", "ge", "and_", "or_")),
        "torch.sym_float",
        "torch.sym_max",
        "torch.sym_min",
        "torch.sym_not",
        "torch.sym_sum",
    }
)
# Operators that reach for something other than their arguments: files, storages, streams.
REFUSED = frozenset(
    {"from_file", "set_", "record_stream", "pin_memory", "_pin_memory", "_nested_from_padded"}
)
_ATEN = re.compile(r"torch\.ops\.aten\.(?P<name>[A-Za-z0-9_]+)\.(?P<overload>[A-Za-z0-9_]+)")


@dataclass(frozen=True, slots=True)
class Reference:
    """A value that an earlier step, an input or a weight has given."""

    name: str


@dataclass(frozen=True, slots=True)
class Scalar:
    """A constant that only torch has: `kind` is dtype, layout, memory_format or device, `value` the schema's."""

    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class Step:
    """One call. `gives` are the names of its results; `listed` says that it returns them as one list.

    `arguments` are (name, value, is_keyword); a value may hold References and Scalars.
    """

    target: str
    arguments: tuple[tuple[str, Any, bool], ...]
    gives: tuple[str, ...]
    listed: bool


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor in the archive: its bytes, and how they are to be seen (as `torch.as_strided` has it)."""

    content: bytes
    dtype: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Program:
    """What is computed: weights by the names that the steps use, the inputs, the steps, the outputs in order.

    Inputs and outputs as a signature has them (`name`, `datatype`, `shape`, -1 for a size that may vary).
    """

    weights: dict[str, Weight]
    inputs: tuple[dict[str, Any], ...]
    steps: tuple[Step, ...]
    outputs: tuple[dict[str, Any], ...]


def parse(artifact: bytes) -> Program:
    """Read an archive. Raises LoadError, which says what in it cannot be served."""
    try:
        with zipfile.ZipFile(io.BytesIO(artifact)) as archive:
            return _program(_Archive(archive))
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise LoadError(f"the artifact is no .pt2 archive: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise LoadError(f"the archive does not hold an exported program as expected: {error!r}") from error


class _Archive:
    """The members of the archive by their path under its one root folder. None is compressed, so none can swell."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            _refuse(f"it has {len(members)} members")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            _refuse("its members are compressed; torch.export.save does not do that")
        self._archive = archive
        self._members = {member.filename.partition("/")[2]: member for member in members}

    def bytes(self, path: str) -> bytes:
        return self._archive.read(self._members[path])

    def json(self, path: str) -> Any:
        if self._members[path].file_size > MAX_GRAPH_BYTES:
            _refuse(f"{path} is larger than {MAX_GRAPH_BYTES} bytes")
        return json.loads(self.bytes(path))

    def tensors(self, folder: str, config: str) -> dict[str, Weight]:
        found = {}
        for name, entry in self.json(f"data/{folder}/{config}")["config"].items():
            meta = entry["tensor_meta"]
            if entry["use_pickle"] or meta is None:
                _refuse(f"{name} is kept as a pickle, not as a tensor's bytes")
            found[name] = Weight(
                content=self.bytes(f"data/{folder}/{entry['path_name']}"),
                dtype=meta["dtype"],
                sizes=tuple(size["as_int"] for size in meta["sizes"]),
                strides=tuple(stride["as_int"] for stride in meta["strides"]),
                offset=meta["storage_offset"]["as_int"],
            )
        return found


def _program(archive: _Archive) -> Program:
    document = archive.json("models/model.json")
    if (version := document["schema_version"]["major"]) != SCHEMA_MAJOR:
        _refuse(f"its schema is version {version}; this server reads version {SCHEMA_MAJOR}")
    module = document["graph_module"]
    weights = archive.tensors("weights", "model_weights_config.json")
    constants = archive.tensors("constants", "model_constants_config.json")
    inputs, placed = [], {}
    for given in module["signature"]["input_specs"]:
        ((kind, spec),) = given.items()
        match kind:
            case "parameter":
                placed[_name(spec["arg"]["name"])] = weights[spec["parameter_name"]]
            case "buffer":
                name = spec["buffer_name"]
                placed[_name(spec["arg"]["name"])] = weights[name] if name in weights else constants[name]
            case "tensor_constant":
                placed[_name(spec["arg"]["name"])] = constants[spec["tensor_constant_name"]]
            case "user_input" if "as_tensor" in spec["arg"]:
                inputs.append(_form(module["graph"], spec))
            case _:
                _refuse(f"it takes a {kind.replace('_', ' ')} that is no tensor")
    outputs = []
    for given in module["signature"]["output_specs"]:
        ((kind, spec),) = given.items()
        if kind != "user_output":
            _refuse(f"it changes what it was given ({kind.replace('_', ' ')}); a served model keeps no state")
        if "as_tensor" not in spec["arg"]:
            _refuse("it returns something that is no tensor")
        outputs.append(_form(module["graph"], spec))
    steps = tuple(_step(node) for node in module["graph"]["nodes"])
    return Program(placed, tuple(inputs), steps, tuple(outputs))


def _form(graph: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    name = _name(spec["arg"]["as_tensor"]["name"])
    meta = graph["tensor_values"][name]
    if meta["dtype"] not in DATATYPES:
        _refuse(f"{name[:100]} has a datatype that the protocol does not have")
    shape = [size.get("as_int", -1) for size in meta["sizes"]]
    if not all(type(size) is int for size in shape):
        _refuse("the form of its inputs and outputs is not given")
    return {"name": name, "datatype": DATATYPES[meta["dtype"]], "shape": shape}


def _step(node: dict[str, Any]) -> Step:
    target = node["target"]
    aten = _ATEN.fullmatch(target)
    if target not in SIZE_CALLS and (aten is None or aten["name"] in REFUSED):
        _refuse(f"it calls {target[:100]}; only operators of torch.ops.aten are served")
    arguments = tuple(
        (_name(given["name"]), _value(given["arg"]), given.get("kind") == 2) for given in node["inputs"]
    )
    outputs = node["outputs"]
    listed = len(outputs) == 1 and "as_tensors" in outputs[0]
    return Step(target, arguments, tuple(_names(outputs)), listed)


def _names(outputs: list[dict[str, Any]]) -> Iterator[str]:
    """The names of a step's results; what it gives without a name is an empty one."""
    for output in outputs:
        ((kind, value),) = output.items()
        match kind:
            case "as_tensor":
                yield _name(value["name"])
            case "as_tensors":
                yield from (_name(one["name"]) for one in value)
            case "as_sym_int" | "as_sym_bool" | "as_sym_float":
                yield _name(value["as_name"])
            case "as_none":
                yield ""
            case _:
                _refuse(f"a step gives {kind.removeprefix('as_')}")


def _value(argument: dict[str, Any]) -> Any:
    """An argument as Python has it, with References and Scalars where only the running program knows more."""
    ((kind, value),) = argument.items()
    match kind:
        case "as_none":
            return None
        case "as_int" | "as_bool" | "as_string":
            return value
        case "as_ints" | "as_bools" | "as_strings" | "as_int_lists":
            return list(value)
        case "as_float":
            return float(value)  # infinities and NaN are strings
        case "as_floats":
            return [float(one) for one in value]
        case "as_complex":
            return complex(value["real"], value["imag"])
        case "as_tensor":
            return Reference(_name(value["name"]))
        case "as_tensors":
            return [Reference(_name(one["name"])) for one in value]
        case "as_optional_tensors":
            return [_value(one) for one in value]
        case "as_sym_int" | "as_sym_bool" | "as_sym_float":
            return _size(value)
        case "as_sym_ints" | "as_sym_bools" | "as_sym_floats":
            return [_size(one) for one in value]
        case "as_scalar_type":
            return Scalar("dtype", value)
        case "as_layout":
            return Scalar("layout", value)
        case "as_memory_format":
            return Scalar("memory_format", value)
        case "as_device":
            if value["type"] != "cpu":
                _refuse(f"it was exported on {value['type'][:20]}; export it on the CPU")
            return Scalar("device", "cpu")
        case "as_graph":
            _refuse("it branches or loops (torch.cond, torch.while_loop)")
        case _:
            _refuse(f"it has an argument that is {kind.removeprefix('as_')[:40]}")


def _size(value: dict[str, Any]) -> Any:
    ((kind, size),) = value.items()
    return Reference(_name(size)) if kind == "as_name" else size


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no name")
    return value


def _refuse(what: str) -> NoReturn:
    raise LoadError(f"the exported program cannot be served: {what}")
