"""What a model version declares to take and to give, and whether its rows may be computed together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from inference.serving.datatypes import DATATYPES


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A declared tensor. A dimension of -1 is variable."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.datatype} {list(self.shape)}"

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether a concrete shape fits the declared one."""
        if len(shape) != len(self.shape):
            return False
        for declared, actual in zip(self.shape, shape, strict=True):  # noqa: SIM110 - twice as fast as `all`
            if declared not in (-1, actual):
                return False
        return True

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True)
class Signature:
    """The declared inputs and outputs, by name and in order."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]

    @classmethod
    def declared(cls, inputs: Iterable[Mapping[str, Any]], outputs: Iterable[Mapping[str, Any]]) -> Signature:
        """Read the registry's `{"name", "datatype", "shape"}` dictionaries. Raises ValueError on a bad one."""
        return cls(inputs=_specs(inputs), outputs=_specs(outputs))

    @cached_property
    def rows_are_variable(self) -> bool:
        """True when the first dimension of every tensor is variable, so that it can be a batch dimension."""
        tensors = [*self.inputs.values(), *self.outputs.values()]
        return all(spec.shape and spec.shape[0] == -1 for spec in tensors)

    @cached_property
    def expected_inputs(self) -> str:
        """The inputs in words, for messages."""
        return ", ".join(map(str, self.inputs.values()))

    @cached_property
    def expected_outputs(self) -> str:
        """The output names in words, for messages."""
        return ", ".join(self.outputs)


def _specs(tensors: Iterable[Mapping[str, Any]]) -> dict[str, TensorSpec]:
    specs = {}
    for tensor in tensors:
        if tensor["datatype"] not in DATATYPES:
            raise ValueError(f"unknown datatype {tensor['datatype']!r} of tensor {tensor['name']!r}")
        spec = TensorSpec(tensor["name"], tensor["datatype"], tuple(int(size) for size in tensor["shape"]))
        specs[spec.name] = spec
    return specs
