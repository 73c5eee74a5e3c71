"""A result as Parquet: shards write Arrow streams, the joining makes one file of them. Loaded only when needed.

Columns: `row` and `line` of the input, one per output under its own name (an output that is called as one of the
others gets `output.` before it), `refer`, and `error`, which says why a row has no outputs.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from inference.serving.batch.results import Limits, one_by_one, text_of
from inference.serving.batch.steps import Answers
from inference.serving.datatypes import Tensor, Tensors
from inference.serving.referrals import unsure_rows
from inference.serving.signature import Signature, TensorSpec

PLACE = (pa.field("row", pa.int64(), nullable=False), pa.field("line", pa.int64(), nullable=False))
NOTES = (pa.field("refer", pa.bool_(), nullable=False), pa.field("error", pa.string()))
TAKEN = {field.name for field in (*PLACE, *NOTES)}
GROUP_ROWS = 10_000
GROUP_BYTES = 32 << 20
ANOTHER_FORM = "the model answered in another form than it declares"
TYPES = {
    "BOOL": pa.bool_(), "FP16": pa.float32(), "FP32": pa.float32(), "FP64": pa.float64(), "BYTES": pa.string(),
    **{f"INT{bits}": getattr(pa, f"int{bits}")() for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": getattr(pa, f"uint{bits}")() for bits in (8, 16, 32, 64)},
}  # fmt: skip


def schema_of(signature: Signature) -> pa.Schema:
    """The columns of a result."""
    outputs = []
    for spec in signature.outputs.values():
        kind = TYPES[spec.datatype]
        for _level in range(_depth(spec, signature)):
            kind = pa.list_(kind)
        outputs.append(pa.field(f"output.{spec.name}" if spec.name in TAKEN else spec.name, kind))
    return pa.schema([*PLACE, *outputs, *NOTES])


class ArrowRows:
    """The answers of a shard as one Arrow stream."""

    def __init__(self, signature: Signature, limits: Limits) -> None:
        self._signature = signature
        self._limits = limits
        self._schema = schema_of(signature)
        self._sink = _Pieces()
        self._stream = pa.ipc.new_stream(self._sink, self._schema)

    def head(self) -> bytes:
        return self._sink.taken()

    def rows(self, answers: Answers) -> bytes:
        self._stream.write_batch(self._batch(answers))
        return self._sink.taken()

    def tail(self) -> bytes:
        self._stream.close()
        return self._sink.taken()

    def _batch(self, answers: Answers) -> pa.RecordBatch:
        errors: list[str | None] = [None] * len(answers.rows)
        if answers.together is not None and self._fits(answers.together):
            outputs = [
                self._column(spec, answers.together[spec.name]) for spec in self._signature.outputs.values()
            ]
            single: Sequence[Tensors | str] = one_by_one(answers.together) if self._limits else ()
        else:
            single = answers.single if answers.together is None else one_by_one(answers.together)
            single = [row if isinstance(row, str) or self._fits(row) else ANOTHER_FORM for row in single]
            errors = [row if isinstance(row, str) else None for row in single]
            outputs = self._columns_of(single)
        refer = [
            bool(self._limits) and not isinstance(row, str) and bool(unsure_rows(row, self._limits))
            for row in single
        ] or [False] * len(answers.rows)
        places = [pa.array(list(answers.rows), pa.int64()), pa.array(list(answers.lines), pa.int64())]
        notes = [pa.array(refer, pa.bool_()), pa.array(errors, pa.string())]
        return pa.record_batch([*places, *outputs, *notes], schema=self._schema)

    def _fits(self, outputs: Tensors) -> bool:
        rows = 1 if self._signature.rows_are_variable else 0
        return all(
            outputs[spec.name].ndim - rows == _depth(spec, self._signature)
            for spec in self._signature.outputs.values()
            if spec.datatype != "BYTES"
        )

    def _columns_of(self, single: Sequence[Tensors | str]) -> list[pa.Array]:
        """Rows without outputs have nulls."""
        answered = [row for row in single if not isinstance(row, str)]
        numbers = iter(range(len(answered)))
        places = pa.array([None if isinstance(row, str) else next(numbers) for row in single], pa.int64())
        columns = []
        for spec, field in zip(self._signature.outputs.values(), list(self._schema)[2:-2], strict=True):
            tensors = [row[spec.name] for row in answered]
            if not self._signature.rows_are_variable:
                tensors = [tensor[None] for tensor in tensors]
            if tensors and all(tensor.shape == tensors[0].shape for tensor in tensors):
                column = self._column(spec, np.concatenate(tensors))
            else:
                plain = [
                    text_of(t) if t.dtype.hasobject else t[0].astype(_dtype(t)).tolist() for t in tensors
                ]
                column = pa.array(plain, field.type)
            columns.append(column.take(places))
        return columns

    def _column(self, spec: TensorSpec, tensor: Tensor) -> pa.Array:
        """A column of lists as deep as the output's shape."""
        if tensor.dtype.hasobject:
            return pa.array([text_of(row) for row in tensor], pa.list_(pa.string()))
        column = pa.array(
            np.ascontiguousarray(tensor, dtype=_dtype(tensor)).reshape(-1), TYPES[spec.datatype]
        )
        count = tensor.size
        for level in range(tensor.ndim - 1, 0, -1):
            size = tensor.shape[level]
            count = int(np.prod(tensor.shape[:level]))
            offsets = np.arange(count + 1, dtype=np.int32) * np.int32(size)
            column = pa.ListArray.from_arrays(pa.array(offsets), column)
        return column


def parquet_of(signature: Signature, parts: Iterator[BinaryIO]) -> Iterator[bytes]:
    """The bytes of one Parquet file with the rows of all parts; at most a row group is held in memory.

    Row groups end at fixed numbers of rows, wherever shards and steps ended: the same rows give the same bytes.
    """
    schema, sink = schema_of(signature), _Pieces()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        waiting: list[pa.RecordBatch] = []
        most = count = 0
        for part in parts:
            with pa.ipc.open_stream(part) as stream:
                for batch in stream:
                    # How many rows make a group is settled by the first batch, which is the same in every run.
                    most = most or _group_rows(batch)
                    waiting.append(batch)
                    count += len(batch)
                    while count >= most:
                        table = pa.Table.from_batches(waiting, schema)
                        writer.write_table(table.slice(0, most).combine_chunks(), row_group_size=most)
                        waiting = table.slice(most).to_batches()
                        count -= most
                        yield sink.taken()
        if count:
            table = pa.Table.from_batches(waiting, schema).combine_chunks()
            writer.write_table(table, row_group_size=most)
            yield sink.taken()
    yield sink.taken()


def _group_rows(batch: pa.RecordBatch) -> int:
    row_bytes = max(batch.nbytes // max(len(batch), 1), 1)
    return int(min(max(GROUP_BYTES // row_bytes, 1), GROUP_ROWS))


def _depth(spec: TensorSpec, signature: Signature) -> int:
    if spec.datatype == "BYTES":
        return 1
    return len(spec.shape) - (1 if signature.rows_are_variable else 0)


def _dtype(tensor: Tensor) -> np.dtype[np.generic]:
    return np.dtype(np.float32) if tensor.dtype == np.float16 else tensor.dtype


class _Pieces(io.RawIOBase):
    """A file that only grows, and whose bytes are taken away as they come."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: bytes) -> int:  # type: ignore[override]
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def taken(self) -> bytes:
        """What was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
