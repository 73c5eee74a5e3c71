"""A shard's result as JSON lines: `row` and `line` of the input with `outputs` or `error`.

`refer` is true where the confidence is below one of the limits: a person must look at the row before it counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import orjson

from inference.serving.batch.steps import Answers
from inference.serving.datatypes import Tensor, Tensors
from inference.serving.referrals import unsure_rows
from inference.serving.signature import Signature

Limits = Sequence[tuple[float, str]]
OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


class Form(Protocol):
    """How the answers of a shard become bytes."""

    def head(self) -> bytes:
        """What stands before the first row."""

    def rows(self, answers: Answers) -> bytes:
        """Some rows."""

    def tail(self) -> bytes:
        """What stands after the last."""


class JsonLines:
    """One line per row."""

    def __init__(self, signature: Signature, limits: Limits) -> None:
        self._signature = signature
        self._limits = limits

    def head(self) -> bytes:
        return b""

    def rows(self, answers: Answers) -> bytes:
        if answers.together is None:
            lines: Iterable[bytes] = map(self._line, answers.rows, answers.lines, answers.single)
        elif self._limits or any(tensor.dtype.hasobject for tensor in answers.together.values()):
            lines = map(self._line, answers.rows, answers.lines, one_by_one(answers.together))
        else:
            plain = {name: _plain(tensor) for name, tensor in answers.together.items()}
            lines = (
                orjson.dumps(
                    {"row": row, "line": line, "outputs": {name: t[i] for name, t in plain.items()}},
                    option=OPTIONS,
                )
                for i, (row, line) in enumerate(zip(answers.rows, answers.lines, strict=True))
            )
        return b"".join(lines)

    def tail(self) -> bytes:
        return b""

    def _line(self, row: int, line: int, answer: Tensors | str) -> bytes:
        place: dict[str, Any] = {"row": row, "line": line}
        if isinstance(answer, str):
            return orjson.dumps(place | {"error": answer}, option=OPTIONS)
        batched = self._signature.rows_are_variable
        outputs = {name: _plain(tensor[0] if batched else tensor) for name, tensor in answer.items()}
        if self._limits and unsure_rows(answer, self._limits):
            place["refer"] = True
        return orjson.dumps(place | {"outputs": outputs}, option=OPTIONS)


def one_by_one(together: Tensors) -> list[Tensors]:
    """The outputs of each row, with the batch dimension."""
    count = len(next(iter(together.values())))
    return [{name: tensor[i : i + 1] for name, tensor in together.items()} for i in range(count)]


def text_of(tensor: Tensor) -> list[str]:
    """The elements of a tensor of text, flat."""
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in tensor.reshape(-1)]


def _plain(tensor: Any) -> Any:
    tensor = np.asarray(tensor)
    if tensor.dtype.hasobject:
        return text_of(tensor)
    if tensor.dtype == np.float16:
        tensor = tensor.astype(np.float32)
    return np.ascontiguousarray(tensor) if tensor.shape else tensor[()]
