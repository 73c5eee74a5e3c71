"""Parquet that people send: cut into segments that a shard reads alone, and from columns to tensors without a detour.

A segment is an Arrow stream of its own with some rows of the file. Parquet's own row groups may hold a million rows,
which every shard would have to unpack from their beginning; so planning writes the segments once, one after another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import prod
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inference.serving.batch.reading import MAX_COLUMNS, UnreadableFile
from inference.serving.datatypes import DATATYPES, Tensor, Tensors
from inference.serving.protocol import narrowed
from inference.serving.signature import Signature

# Rows are unpacked so many at a time, which bounds what a file of well-packed giants can ask for.
UNPACKED_ROWS = 200
MAX_UNPACKED_BYTES = 64 << 20
# A file may unpack to many times its size; what it may become in all is so many times what may be uploaded.
MAX_GROWTH = 4


def segments(
    reader: BinaryIO, *, rows: Callable[[int, int], int], most_rows: int, most_bytes: int
) -> Iterator[tuple[bytes, int]]:
    """The file's rows in segments of equal length (the last may be shorter), and how many each holds.

    `rows` tells the length from the number of all rows and the bytes that one takes. Raises UnreadableFile for what is
    no Parquet, has a column that is neither numbers, truth values nor text (or lists of them), or is larger than the
    limits.
    """
    try:
        file = pq.ParquetFile(reader, pre_buffer=False)
        schema = file.schema_arrow
        _require_readable(schema)
        if file.metadata.num_rows > most_rows:
            raise UnreadableFile(f"The file has more than {most_rows} rows; split it.")
        waiting: list[pa.RecordBatch] = []
        count = size = length = 0
        for batch in file.iter_batches(batch_size=UNPACKED_ROWS):
            length = length or rows(file.metadata.num_rows, batch.nbytes // max(len(batch), 1))
            size += batch.nbytes
            if batch.nbytes > MAX_UNPACKED_BYTES or size > most_bytes:
                raise UnreadableFile("Unpacked, the file is too large; split it.")
            while count + len(batch) >= length:
                taken = batch.slice(0, length - count)
                yield _stream(schema, [*waiting, taken]), length
                batch, waiting, count = batch.slice(len(taken)), [], 0
            if len(batch):
                waiting.append(batch)
                count += len(batch)
        if waiting:
            yield _stream(schema, waiting), count
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise UnreadableFile(f"The file is no Parquet that can be read: {str(error)[:200]}") from error


def segment_table(segment: bytes) -> pa.Table:
    """The rows of a segment, each column in one piece."""
    with pa.ipc.open_stream(segment) as stream:
        return stream.read_all().combine_chunks()


def tensors_of_table(table: pa.Table, signature: Signature) -> Tensors | None:
    """The inputs of all rows at once, or None where rows have to be looked at one by one.

    That is so where a value is missing or of another kind than declared, or rows differ in their form.
    """
    if not signature.rows_are_variable or not len(table):
        return None
    if set(table.column_names) == set(signature.inputs):
        given = {name: _flat(table.column(name)) for name in table.column_names}
    elif len(signature.inputs) == 1:
        flat_columns = [_flat(table.column(index)) for index in range(table.num_columns)]
        columns = [column for column in flat_columns if column is not None and len(column) == len(table)]
        if len(columns) < table.num_columns:
            return None
        given = {next(iter(signature.inputs)): np.column_stack(columns).reshape(-1)}
    else:
        return None
    tensors: Tensors = {}
    for name, spec in signature.inputs.items():
        flat, shape = given[name], spec.shape[1:]
        if flat is None or -1 in shape or flat.size != len(table) * prod(shape):
            return None
        tensor = _as_declared(flat, spec.datatype)
        if tensor is None:
            return None
        tensors[name] = tensor.reshape(len(table), *shape)
    return tensors


def values_of_cells(cells: dict[str, Any], signature: Signature) -> Any:
    """What one row says, by input. Columns are inputs, elements of the only one, or `name.0`, `name.1` … of several."""
    if set(cells) == set(signature.inputs):
        return cells
    if len(signature.inputs) == 1:
        return {next(iter(signature.inputs)): list(cells.values())}
    found: dict[str, Any] = {}
    for name, cell in cells.items():
        stem = name if name in signature.inputs else re.sub(r"\.\d+$", "", name)
        if stem == name:
            found[name] = cell
        else:
            found.setdefault(stem, []).append(cell)
    return found


def _require_readable(schema: pa.Schema) -> None:
    if len(schema.names) > MAX_COLUMNS:
        raise UnreadableFile(f"The file has more than {MAX_COLUMNS} columns.")
    if len(set(schema.names)) < len(schema.names):
        raise UnreadableFile("Two columns of the file have the same name.")
    for field in schema:
        kind = field.type
        while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            kind = kind.value_type
        if not (
            pa.types.is_integer(kind)
            or pa.types.is_floating(kind)
            or pa.types.is_boolean(kind)
            or pa.types.is_string(kind)
            or pa.types.is_large_string(kind)
        ):
            raise UnreadableFile(f'The column "{field.name}" is {field.type}, which no input takes.')


def _stream(schema: pa.Schema, batches: list[pa.RecordBatch]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_table(pa.Table.from_batches(batches).combine_chunks())
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _flat(column: pa.ChunkedArray) -> Tensor | None:
    """The numbers of a column whose rows all have one form; None for any other column."""
    array = column.combine_chunks()
    while isinstance(array, (pa.ListArray, pa.LargeListArray, pa.FixedSizeListArray)):
        if array.null_count or len(pc.unique(pc.list_value_length(array))) != 1:
            return None
        array = array.flatten()
    if array.null_count or not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        return None
    numbers: Tensor = array.to_numpy(zero_copy_only=False)
    return numbers


def _as_declared(flat: Tensor, name: str) -> Tensor | None:
    datatype = DATATYPES[name]
    if datatype.json_buffer == "d":
        if flat.dtype.kind == "f" and not np.isfinite(flat).all():
            return None
        wide = flat if flat.dtype == datatype.dtype else flat.astype(np.float64, copy=False)
    elif not datatype.json_buffer or flat.dtype.kind != datatype.json_buffer:
        return None
    else:
        wide = flat
    try:
        return narrowed(wide, datatype)
    except (ValueError, FloatingPointError):
        return None
