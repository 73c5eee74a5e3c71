"""Computes a torch-exported program, call by call. Only a model's own process imports this: the site never has torch.

For what ONNX cannot express. It costs a Python call per operator, so a graph that both can serve is faster as ONNX.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from inference.serving.artifacts import ArtifactFile, read_artifact
from inference.serving.datatypes import DATATYPES, Tensors
from inference.serving.runtime import (
    LoadError,
    PredictError,
    expected_memory_bytes,
    made_up_row,
    rows_are_independent,
)
from inference.serving.signature import Signature
from inference.serving.torch_program import Program, Reference, Scalar, Step, Weight, parse

# torch/_export/serde/schema.py: ScalarType, Layout and MemoryFormat.
_DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16,
    7: torch.float32, 8: torch.float64, 9: torch.complex32, 10: torch.complex64, 11: torch.complex128,
    12: torch.bool, 13: torch.bfloat16, 28: torch.uint16,
}  # fmt: skip
_LAYOUTS = {7: torch.strided}
_MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
_SCALARS: Mapping[str, Mapping[Any, Any]] = {
    "dtype": _DTYPES,
    "layout": _LAYOUTS,
    "memory_format": _MEMORY_FORMATS,
    "device": {"cpu": torch.device("cpu")},
}
_SIZE_CALLS: dict[str, Callable[..., Any]] = {
    "torch.sym_float": float,
    "torch.sym_max": max,
    "torch.sym_min": min,
    "torch.sym_not": operator.not_,
    "torch.sym_sum": sum,
}


class KeepsState(PredictError):
    """A program wrote to its weights: what one caller sent would show in another's answer."""

    def __init__(self) -> None:
        super().__init__(
            "the program changes its own weights or buffers; a served model keeps no state",
            invalid_input=False,
        )


class TorchRuntime:
    """An exported program with its weights."""

    computes_here = True
    lanes = 1

    def __init__(self, program: Program, signature: Signature, memory_bytes: int = 0) -> None:
        self.memory_bytes = memory_bytes
        self._signature = signature
        self._weights = {name: _tensor(name, weight) for name, weight in program.weights.items()}
        self._outputs = [output["name"] for output in program.outputs]
        self._calls = [(_callable(step), step) for step in program.steps]
        self._done = _last_uses(program)

    @classmethod
    def load(cls, path: ArtifactFile, *, sha256: str, signature: Signature, threads: int = 1) -> TorchRuntime:
        """Load what has exactly this digest; its inputs have the declared names, its outputs the declared order.

        Raises LoadError.
        """
        artifact = read_artifact(path, sha256=sha256)
        program = parse(artifact)
        _check_signature(program, signature)
        torch.set_num_threads(threads)
        return cls(program, signature, expected_memory_bytes(len(artifact)))

    @torch.inference_mode()
    def predict(self, inputs: Tensors) -> Tensors:
        values: dict[str, Any] = dict(self._weights)
        try:
            # A copy: what was received is read-only, which torch's tensors cannot be.
            values.update((name, torch.from_numpy(np.array(tensor))) for name, tensor in inputs.items())
            for (call, step), over in zip(self._calls, self._done, strict=True):
                positional = [
                    _known(value, values) for _name, value, keyword in step.arguments if not keyword
                ]
                named = {name: _known(value, values) for name, value, keyword in step.arguments if keyword}
                result = call(*positional, **named)
                if step.listed or len(step.gives) > 1:
                    values.update(zip(step.gives, result, strict=True))
                elif step.gives:
                    values[step.gives[0]] = result
                for name in over:
                    values.pop(name, None)
            results = [values[name].numpy() for name in self._outputs]
        except IndexError as error:
            raise PredictError(str(error), invalid_input=True) from error
        except Exception as error:
            # The exporter writes what it assumes about sizes and values as checks into the graph.
            assumed = "assertion failed" in str(error) or "Expected cond" in str(error)
            raise PredictError(str(error), invalid_input=assumed) from error
        if any(weight._version for weight in self._weights.values()):
            raise KeepsState
        return self._as_declared(results)

    def warm_up(self) -> None:
        """Compute one row of made-up values. Raises LoadError for a program that writes to its weights."""
        try:
            self.predict(made_up_row(self._signature))
        except KeepsState as error:
            raise LoadError(str(error)) from error
        except PredictError:
            pass  # Made-up values may be refused, which says nothing about real ones.

    def rows_are_independent(self) -> bool:
        """Tried out with made-up rows."""
        return rows_are_independent(self.predict, self._signature)

    def ready(self) -> bool:
        return True

    def close(self) -> None:
        self._weights = {}

    def _as_declared(self, results: list[Any]) -> Tensors:
        outputs: Tensors = {}
        for (name, spec), result in zip(self._signature.outputs.items(), results, strict=True):
            if result.dtype != DATATYPES[spec.datatype].dtype or not spec.accepts(result.shape):
                form = f"{result.dtype} {list(result.shape)}"
                raise PredictError(f"output {name} is {form}, declared as {spec}", invalid_input=False)
            outputs[name] = np.ascontiguousarray(result)
        return outputs


def _check_signature(program: Program, signature: Signature) -> None:
    """Raise LoadError unless inputs agree by name and outputs in their order: an output's name is the signature's."""
    inputs = {given["name"]: given for given in program.inputs}
    if inputs.keys() != signature.inputs.keys():
        raise LoadError(
            f"the artifact's inputs are {sorted(inputs)}, declared are {sorted(signature.inputs)}"
        )
    if len(program.outputs) != len(signature.outputs):
        raise LoadError(
            f"the artifact has {len(program.outputs)} outputs, declared are {sorted(signature.outputs)}"
        )
    outputs = zip(signature.outputs.values(), program.outputs, strict=True)
    for spec, actual in (*((signature.inputs[name], given) for name, given in inputs.items()), *outputs):
        sizes = zip(spec.shape, actual["shape"], strict=False)
        fits = len(spec.shape) == len(actual["shape"]) and all(size in (-1, wanted) for wanted, size in sizes)
        if actual["datatype"] != spec.datatype or not fits:
            raise LoadError(
                f"{actual['name']} is {actual['datatype']} {actual['shape']} in the artifact, declared as {spec}"
            )


def _callable(step: Step) -> Callable[..., Any]:
    """The function of a step. Its name was checked when the program was read. Raises LoadError."""
    namespace, _dot, name = step.target.rpartition(".")
    if step.target in _SIZE_CALLS:
        return _SIZE_CALLS[step.target]
    if namespace == "_operator":
        call: Callable[..., Any] = getattr(operator, name)
        return call
    try:
        overload = getattr(getattr(torch.ops.aten, namespace.removeprefix("torch.ops.aten.")), name)
    except AttributeError:
        raise LoadError(f"this version of torch has no {step.target}") from None
    if any(str(argument.type) in ("Storage", "Stream") for argument in overload._schema.arguments):
        raise LoadError(f"{step.target} takes more than tensors and numbers")
    served: Callable[..., Any] = overload
    return served


def _tensor(name: str, weight: Weight) -> torch.Tensor:
    try:
        if not weight.content:
            return torch.empty_strided(weight.sizes, weight.strides, dtype=_DTYPES[weight.dtype])
        flat = torch.frombuffer(bytearray(weight.content), dtype=_DTYPES[weight.dtype])
        # Detached, a tensor counts what is written to it from zero, whoever made the bytes.
        return flat.as_strided(weight.sizes, weight.strides, weight.offset).detach()
    except (KeyError, RuntimeError, ValueError) as error:
        raise LoadError(f"the weight {name} is not what it says: {error}") from error


def _known(value: Any, values: dict[str, Any]) -> Any:
    if isinstance(value, Reference):
        return values[value.name]
    if isinstance(value, list):
        return [_known(one, values) for one in value]
    if isinstance(value, Scalar):
        return _SCALARS[value.kind][value.value]
    return value


def _last_uses(program: Program) -> list[tuple[str, ...]]:
    """For every step, what nobody asks for after it, so that its memory is there for the next."""
    kept = {output["name"] for output in program.outputs} | program.weights.keys()
    last: dict[str, int] = {}
    for number, step in enumerate(program.steps):
        for name in (*step.gives, *(used for _n, value, _k in step.arguments for used in _references(value))):
            last[name] = number
    over: list[list[str]] = [[] for _ in program.steps]
    for name, number in last.items():
        if name not in kept:
            over[number].append(name)
    return [tuple(names) for names in over]


def _references(value: Any) -> list[str]:
    if isinstance(value, Reference):
        return [value.name]
    return [name for one in value for name in _references(one)] if isinstance(value, list) else []
