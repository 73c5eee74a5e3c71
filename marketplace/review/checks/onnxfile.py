"""Read the structure of an ONNX file without loading it: operators, and data kept outside the file.

Walks the protobuf wire format of `ModelProto` (onnx.proto3) over a memory map: nothing is copied, tensors are
skipped by their length, and no native parser sees bytes that nobody has checked.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MAX_NODES = 500_000
MAX_FIELDS = 10_000_000
MAX_DEPTH = 32
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
_TRAINING, _GRAPH, _OPSETS, _FUNCTIONS = 20, 7, 8, 25

Span = tuple[int, int]


class NotONNX(ValueError):
    """The file is not an ONNX model; the message says why."""


@dataclass(slots=True)
class ONNXStructure:
    """What a reviewer has to know about an ONNX file before anything loads it."""

    operators: set[tuple[str, str]] = field(default_factory=set)  # (domain, operator)
    functions: set[tuple[str, str]] = field(default_factory=set)  # defined in the file itself
    opsets: dict[str, int] = field(default_factory=dict)
    external: list[str] = field(default_factory=list)  # locations of data outside the file
    nodes: int = 0
    has_graph: bool = False
    has_training: bool = False


def read_structure(path: Path) -> ONNXStructure:
    """Return the structure of the ONNX model in `path`; raise NotONNX."""
    if path.stat().st_size == 0:
        raise NotONNX("the file is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        walker = _Walker(data)
        walker.model(0, len(data))
        return walker.found


class _Walker:
    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.found = ONNXStructure()
        self.fields = 0

    def model(self, begin: int, end: int) -> None:
        for number, _, span in self._fields(begin, end):
            if number not in _MODEL_FIELDS:
                raise NotONNX("it has fields that an ONNX model does not have")
            if number == _GRAPH:
                self.found.has_graph = True
                self._graph(*self._message(span), depth=0)
            elif number == _OPSETS:
                domain, version = "", 0
                for inner, inner_value, inner_span in self._fields(*self._message(span)):
                    if inner == 1:
                        domain = self._text(inner_span)
                    elif inner == 2:
                        version = inner_value
                self.found.opsets[domain] = version
            elif number == _FUNCTIONS:
                self._function(*self._message(span))
            elif number == _TRAINING:
                self.found.has_training = True
        if not self.found.has_graph or not self.found.opsets:
            raise NotONNX("it has no graph or does not say which operator set it uses")

    def _function(self, begin: int, end: int) -> None:
        name = domain = ""
        for number, _, span in self._fields(begin, end):
            if number == 1:
                name = self._text(span)
            elif number == 10:
                domain = self._text(span)
            elif number == 7:
                self._node(*self._message(span), depth=0)
            elif number == 11:
                self._attribute(*self._message(span), depth=0)
        self.found.functions.add((domain, name))

    def _graph(self, begin: int, end: int, *, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise NotONNX("its graphs are nested too deeply")
        for number, _, span in self._fields(begin, end):
            if number == 1:
                self._node(*self._message(span), depth=depth)
            elif number == 5:
                self._tensor(*self._message(span))
            elif number == 15:
                self._sparse(*self._message(span))

    def _node(self, begin: int, end: int, *, depth: int) -> None:
        self.found.nodes += 1
        if self.found.nodes > MAX_NODES:
            raise NotONNX(f"it has more than {MAX_NODES} operators")
        operator = domain = ""
        for number, _, span in self._fields(begin, end):
            if number == 4:
                operator = self._text(span)
            elif number == 7:
                domain = self._text(span)
            elif number == 5:
                self._attribute(*self._message(span), depth=depth)
        self.found.operators.add((domain, operator))

    def _attribute(self, begin: int, end: int, *, depth: int) -> None:
        for number, _, span in self._fields(begin, end):
            if number in (5, 10):
                self._tensor(*self._message(span))
            elif number in (6, 11):
                self._graph(*self._message(span), depth=depth + 1)
            elif number in (22, 23):
                self._sparse(*self._message(span))

    def _sparse(self, begin: int, end: int) -> None:
        for number, _, span in self._fields(begin, end):
            if number in (1, 2):
                self._tensor(*self._message(span))

    def _tensor(self, begin: int, end: int) -> None:
        outside, location = False, ""
        for number, value, span in self._fields(begin, end):
            if number == 13:
                outside = True
                pair = {n: self._text(s) for n, _, s in self._fields(*self._message(span)) if n in (1, 2)}
                if pair.get(1) == "location":
                    location = pair.get(2, "")
            elif number == 14 and value == 1:
                outside = True
        if outside:
            self.found.external.append(location)

    def _message(self, span: Span | None) -> Span:
        if span is None:
            raise NotONNX("a part of it has the wrong type")
        return span

    def _text(self, span: Span | None) -> str:
        begin, end = self._message(span)
        if end - begin > 4096:
            raise NotONNX("a name in it is too long")
        return self.data[begin:end].decode("utf-8", "replace")

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while position < end and shift < 70:
            byte = self.data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
            shift += 7
        raise NotONNX("it ends in the middle of a value")

    def _fields(self, position: int, end: int) -> Iterator[tuple[int, int, Span | None]]:
        """Yield (field number, integer value, span of bytes or None) of one message."""
        while position < end:
            self.fields += 1
            if self.fields > MAX_FIELDS:
                raise NotONNX("it has too many parts")
            tag, position = self._varint(position, end)
            number, wire = tag >> 3, tag & 7
            if wire == _VARINT:
                value, position = self._varint(position, end)
                yield number, value, None
                continue
            if wire == _BYTES:
                length, position = self._varint(position, end)
                span: Span | None = (position, position + length)
            elif wire in (_FIXED64, _FIXED32):
                length, span = 8 if wire == _FIXED64 else 4, None
            else:
                raise NotONNX("it is not in the format of an ONNX model")
            position += length
            if number == 0 or position > end:
                raise NotONNX("it is not in the format of an ONNX model")
            yield number, 0, span
