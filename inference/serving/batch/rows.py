"""From a row of a file to the model's tensors.

A row goes through the same strict reader as a request to `/v2` (`inference.serving.protocol`), so that a value which
one refuses is refused by the other, in the same words.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson

from inference.serving.batch.reading import RawRow
from inference.serving.datatypes import Tensors
from inference.serving.errors import ProtocolError
from inference.serving.protocol import parse_request
from inference.serving.runtime import PredictError, Runtime
from inference.serving.signature import Signature, TensorSpec


class BadRow(Exception):
    """This row cannot be predicted; the message says why."""


def tensors_of_row(values: Any, signature: Signature) -> Tensors:
    """The input tensors of one row.

    `values` maps input names to (nested) lists without the batch dimension; a model with a single input also takes
    the bare value. Raises BadRow.
    """
    if not isinstance(values, dict):
        if len(signature.inputs) != 1:
            raise BadRow(f"a row must be an object with {signature.expected_inputs}")
        values = {next(iter(signature.inputs)): values}
    if unknown := sorted(set(values) - set(signature.inputs)):
        raise BadRow(f'unknown input "{unknown[0]}"; the model expects {signature.expected_inputs}')
    inputs = [
        {
            "name": name,
            "datatype": spec.datatype,
            "shape": _shape(spec, values[name], batched=signature.rows_are_variable),
            "data": values[name] if isinstance(values[name], list) else [values[name]],
        }
        for name, spec in signature.inputs.items()
        if name in values
    ]
    if len(inputs) < len(signature.inputs):
        missing = [str(spec) for name, spec in signature.inputs.items() if name not in values]
        raise BadRow(f"missing input: {', '.join(missing)}")
    try:
        return parse_request(orjson.dumps({"inputs": inputs})).tensors(signature)
    except ProtocolError as error:
        raise BadRow(error.message) from None
    except orjson.JSONEncodeError as error:
        raise BadRow("the row holds text that is not UTF-8") from error


def values_of(raw: RawRow, signature: Signature, columns: list[str]) -> Any:
    """What a row of the file says. Raises BadRow."""
    if isinstance(raw.data, bytes):
        try:
            return orjson.loads(raw.data)
        except orjson.JSONDecodeError as error:
            raise BadRow(f"the line is not JSON: {error.msg}") from None
    if len(raw.data) != len(columns):
        raise BadRow(f"the row has {len(raw.data)} fields, the header {len(columns)}")
    cells = dict(zip(columns, raw.data, strict=True))
    if len(signature.inputs) == 1:
        spec = next(iter(signature.inputs.values()))
        return {spec.name: [_cell(name, cell, spec) for name, cell in cells.items()]}
    found: dict[str, list[Any]] = {}
    for name, cell in cells.items():
        # `name` for one value, `name.0`, `name.1` … for several, in the order of the columns.
        stem = name if name in signature.inputs else re.sub(r"\.\d+$", "", name)
        if stem not in signature.inputs:
            raise BadRow(f'the column "{name}" is no input; the model expects {signature.expected_inputs}')
        found.setdefault(stem, []).append(_cell(name, cell, signature.inputs[stem]))
    return found


def predict_rows(runtime: Runtime, rows: list[Tensors], *, together: bool) -> list[Tensors | str]:
    """The outputs of each row, or why it has none. Rows share a run only where that changes no answer."""
    if together and len(rows) > 1 and _one_form(rows):
        try:
            outputs = runtime.predict({name: np.concatenate([row[name] for row in rows]) for name in rows[0]})
        except PredictError:
            # One row must not fail the others: alone, each gets its own answer or error.
            outputs = {}
        if outputs and all(len(tensor) == len(rows) for tensor in outputs.values()):
            return [{name: t[i : i + 1] for name, t in outputs.items()} for i in range(len(rows))]
    answers: list[Tensors | str] = []
    for row in rows:
        try:
            answers.append(runtime.predict(row))
        except PredictError:
            answers.append("the model cannot compute this row, although its form is as declared")
    return answers


def _shape(spec: TensorSpec, value: Any, *, batched: bool) -> list[int]:
    """The concrete shape of a value: declared sizes, and where they are variable, what the nesting shows."""
    declared = spec.shape[1:] if batched else spec.shape
    nesting: list[int] = []
    while isinstance(value, list):
        nesting.append(len(value))
        value = value[0] if value else None
    if -1 in declared and len(nesting) == len(declared):
        declared = tuple(n if d == -1 else d for d, n in zip(declared, nesting, strict=True))
    elif declared.count(-1) == 1 and len(nesting) == 1:
        rest = -int(np.prod(declared))
        declared = tuple(nesting[0] // max(rest, 1) if d == -1 else d for d in declared)
    return [1, *declared] if batched else list(declared)


def _cell(column: str, cell: str, spec: TensorSpec) -> Any:
    text = cell.strip()
    try:
        if spec.datatype == "BYTES":
            return cell
        if spec.datatype == "BOOL":
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        return float(text) if spec.datatype.startswith("FP") else int(text)
    except (KeyError, ValueError):
        raise BadRow(f'column "{column}": "{text[:40]}" is no {spec.datatype}') from None


def _one_form(rows: list[Tensors]) -> bool:
    return all(
        row.keys() == rows[0].keys() and all(row[n].shape == rows[0][n].shape for n in row) for row in rows
    )
