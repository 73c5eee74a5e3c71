"""The binary tensor data extension: raw little-endian tensors after the JSON part of a message.

Source: Triton Inference Server, `docs/protocol/extension_binary_data.md`. An element of BYTES is a 4-byte length and
its bytes; one of BOOL is one byte.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inference.serving.datatypes import DATATYPES, Datatype, Tensor


def decode(raw: memoryview[Any], datatype: Datatype, count: int) -> Tensor:
    """A flat tensor of `count` elements from its wire form; no copy where none is needed.

    Raises ValueError, in words for the caller, when the bytes do not hold exactly `count` elements.
    """
    if not datatype.size_bytes:
        return _decode_bytes(raw, count)
    expected = count * datatype.size_bytes
    if len(raw) != expected:
        raise ValueError(f"{count} elements of {datatype.name} are {expected} bytes, not {len(raw)}")
    if datatype.name == "BOOL":
        # Any other byte than 0 and 1 would be a malformed NumPy boolean.
        return np.frombuffer(raw, dtype=np.uint8) != 0
    return np.frombuffer(raw, dtype=datatype.dtype)


def encode(tensor: Tensor, datatype: str) -> bytes:
    """The wire form of a tensor of any shape, row-major."""
    if datatype == "BYTES":
        parts: list[bytes] = []
        for element in tensor.reshape(-1):
            raw = element.encode() if isinstance(element, str) else bytes(element)
            parts += (len(raw).to_bytes(4, "little"), raw)
        return b"".join(parts)
    return tensor.astype(DATATYPES[datatype].dtype, copy=False).tobytes()


def _decode_bytes(raw: memoryview[Any], count: int) -> Tensor:
    elements: list[bytes] = []
    position = 0
    while position < len(raw):
        start = position + 4
        position = start + int.from_bytes(raw[position:start], "little")
        if start > len(raw) or position > len(raw):
            raise ValueError(f"element {len(elements)} of BYTES reaches past the end of its data")
        elements.append(bytes(raw[start:position]))
    if len(elements) != count:
        raise ValueError(f"the shape asks for {count} elements of BYTES, the data holds {len(elements)}")
    tensor = np.empty(count, dtype=object)
    tensor[:] = elements
    return tensor
