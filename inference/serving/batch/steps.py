"""Rows that are read, computed and written together: all at once where they have one form, else one by one.

Both ways give the same answers and the same errors. The quick one takes only rows that are whole as declared; as soon
as one of a step is not, its step is read row by row by the strict reader, which says what is wrong with which row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import Any, Protocol, cast

import numpy as np
import simdjson

from inference.serving.batch.reading import RawRow
from inference.serving.batch.rows import BadRow, predict_rows, tensors_of_row, values_of
from inference.serving.datatypes import DATATYPES, Tensors
from inference.serving.protocol import narrowed
from inference.serving.runtime import PredictError, Runtime
from inference.serving.signature import Signature


@dataclass(frozen=True, slots=True)
class Answers:
    """What became of the rows of a step, in their order.

    Either `together` holds every output of all rows, or `single` what each row has: its outputs, or why it has none.
    """

    rows: Sequence[int]
    lines: Sequence[int]
    together: Tensors | None = None
    single: Sequence[Tensors | str] = ()

    @property
    def bad(self) -> int:
        """How many rows have no outputs."""
        return 0 if self.together is not None else sum(isinstance(answer, str) for answer in self.single)


class Step(Protocol):
    """Some rows of a shard."""

    @property
    def rows(self) -> Sequence[int]:
        """Their numbers, from 1."""

    @property
    def lines(self) -> Sequence[int]:
        """Their lines in the file, from 1."""

    def all_tensors(self, signature: Signature) -> Tensors | None:
        """The inputs of all rows together, or None where they must be looked at one by one."""

    def each(self, signature: Signature) -> Iterator[Tensors | str]:
        """The inputs of each row, or what is wrong with it."""


class Source(Protocol):
    """The rows of a shard, in order."""

    def take(self, most: int) -> Step | None:
        """The next rows; None at the end."""


class TextStep:
    """Rows of JSON lines or CSV."""

    def __init__(self, raw: list[RawRow], columns: list[str]) -> None:
        self.rows = [row.row for row in raw]
        self.lines = [row.line for row in raw]
        self._raw = raw
        self._columns = columns

    def all_tensors(self, signature: Signature) -> Tensors | None:
        """Numbers go from the text of each line into one buffer for all."""
        if not _is_plain(signature) or not isinstance(self._raw[0].data, bytes):
            return None
        parts: dict[str, list[Any]] = {name: [] for name in signature.inputs}
        kinds: list[tuple[str, Any]] = [
            (name, DATATYPES[spec.datatype].json_buffer) for name, spec in signature.inputs.items()
        ]
        only = parts[kinds[0][0]] if len(kinds) == 1 else None
        try:
            for raw in self._raw:
                document: Any = simdjson.Parser().parse(cast(bytes, raw.data))
                if isinstance(document, simdjson.Array):
                    if only is None:
                        return None
                    only.append(document.as_buffer(of_type=kinds[0][1]))
                    continue
                if len(document) != len(kinds):
                    return None
                for name, kind in kinds:
                    parts[name].append(document[name].as_buffer(of_type=kind))
            return {
                name: _joined(parts[name], kind, signature.inputs[name].shape[1:], name, signature)
                for name, kind in kinds
            }
        except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, FloatingPointError):
            return None

    def each(self, signature: Signature) -> Iterator[Tensors | str]:
        for raw in self._raw:
            try:
                yield tensors_of_row(values_of(raw, signature, self._columns), signature)
            except BadRow as error:
                yield str(error)


class TextSource:
    """The rows of a text file, from its reader."""

    def __init__(self, rows: Iterator[RawRow], columns: list[str]) -> None:
        self._rows = rows
        self._columns = columns

    def take(self, most: int) -> Step | None:
        raw = list(islice(self._rows, most))
        return TextStep(raw, self._columns) if raw else None


def answer(step: Step, runtime: Runtime, signature: Signature, *, together: bool) -> Answers:
    """Compute a step."""
    if together and (tensors := step.all_tensors(signature)) is not None:
        try:
            outputs = runtime.predict(tensors)
        except PredictError:
            # One row must not fail the others: alone, each gets its own answer or error.
            outputs = {}
        if outputs and all(len(tensor) == len(step.rows) for tensor in outputs.values()):
            return Answers(step.rows, step.lines, together=outputs)
    given = list(step.each(signature))
    good = [row for row in given if not isinstance(row, str)]
    predicted = iter(predict_rows(runtime, good, together=together))
    single = [row if isinstance(row, str) else next(predicted) for row in given]
    return Answers(step.rows, step.lines, single=single)


def _is_plain(signature: Signature) -> bool:
    """Whether a row's form is known in advance: numbers, and as many as declared."""
    return signature.rows_are_variable and all(
        DATATYPES[spec.datatype].json_buffer and -1 not in spec.shape[1:]
        for spec in signature.inputs.values()
    )


def _joined(parts: list[Any], kind: str, shape: tuple[int, ...], name: str, signature: Signature) -> Any:
    """Raises ValueError where a row has more or fewer numbers than declared."""
    size = prod(shape)
    arrays = [np.frombuffer(part, dtype="<f8" if kind == "d" else f"<{kind}8") for part in parts]
    if any(array.size != size for array in arrays):
        raise ValueError("a row has another form")
    wide = np.concatenate(arrays).reshape(len(parts), *shape)
    return narrowed(wide, DATATYPES[signature.inputs[name].datatype])
