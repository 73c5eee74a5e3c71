"""The tensor datatypes of the Open Inference Protocol v2 and what each is in NumPy and in JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Tensor = np.ndarray[Any, Any]
Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Datatype:
    """One datatype.

    `dtype` is little-endian, as on the wire. `json_buffer` is how a JSON array of it is read (`d` double, `i` signed,
    `u` unsigned 64-bit integers; empty: element by element). `size_bytes` is 0 for BYTES, whose elements carry
    their own length.
    """

    name: str
    dtype: np.dtype[Any]
    json_buffer: Literal["d", "i", "u", ""]

    @property
    def size_bytes(self) -> int:
        return 0 if self.dtype.hasobject else self.dtype.itemsize

    def describe_values(self) -> str:
        """What a JSON element must be, in words."""
        if self.json_buffer == "d":
            return "numbers"
        if self.json_buffer:
            limits = np.iinfo(self.dtype)
            return f"integers from {limits.min} to {limits.max}"
        return "true or false" if self.name == "BOOL" else "strings"


DATATYPES: dict[str, Datatype] = {
    datatype.name: datatype
    for datatype in (
        Datatype("BOOL", np.dtype("?"), ""),
        *(Datatype(f"INT{8 * n}", np.dtype(f"<i{n}"), "i") for n in (1, 2, 4, 8)),
        *(Datatype(f"UINT{8 * n}", np.dtype(f"<u{n}"), "u") for n in (1, 2, 4, 8)),
        *(Datatype(f"FP{8 * n}", np.dtype(f"<f{n}"), "d") for n in (2, 4, 8)),
        Datatype("BYTES", np.dtype(object), ""),
    )
}
