"""Read the header of a safetensors file, strictly: bounded, without holes, every byte belonging to one tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketplace.catalog import strictjson

MAX_HEADER_BYTES = 8 << 20
MAX_TENSORS = 100_000
_SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4,
    "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip


class NotSafetensors(ValueError):
    """The file is not a valid safetensors file; the message says why."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor: its bytes are `begin` to `end` of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_tensors(path: Path) -> list[StoredTensor]:
    """Return the tensors of the file in the order of their data; raise NotSafetensors."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 10 or length < 2 or length > min(MAX_HEADER_BYTES, size - 8):
            raise NotSafetensors("its header is longer than the file or than 8 MiB")
        header = file.read(length)
    if not header.startswith(b"{"):
        raise NotSafetensors("its header does not begin as JSON")
    try:
        table = strictjson.loads(header, max_items=MAX_TENSORS)
    except strictjson.StrictJSONError as error:
        raise NotSafetensors(f"its header is not valid JSON ({error})") from error
    metadata = table.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise NotSafetensors("its metadata is not a table of texts")
    if not table or len(table) > MAX_TENSORS:
        raise NotSafetensors("it has no tensor or too many")
    tensors = sorted(
        (_tensor(name, entry, 8 + length) for name, entry in table.items()), key=lambda t: (t.begin, t.end)
    )
    expected = 8 + length
    for tensor in tensors:
        if tensor.begin != expected:
            raise NotSafetensors(f"the data of {ascii(tensor.name)[:80]} overlaps or leaves a hole")
        expected = tensor.end
    if expected != size:
        raise NotSafetensors("it has bytes that belong to no tensor, or too few")
    return tensors


def _tensor(name: str, entry: Any, base: int) -> StoredTensor:
    wrong = NotSafetensors(f"the entry of {ascii(name)[:80]} is not valid")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise wrong
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]

    def sizes(value: Any) -> bool:
        return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 48 for item in value)

    if not isinstance(dtype, str) or dtype not in _SIZES or not sizes(shape) or not sizes(offsets):
        raise wrong
    if len(shape) > 16 or len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * _SIZES[dtype]:
        raise wrong
    return StoredTensor(name, dtype, tuple(shape), base + offsets[0], base + offsets[1])
