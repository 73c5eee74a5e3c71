"""Steps over rows that were sent as Parquet. Loaded only by a worker that has such a shard: Arrow is large."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from inference.serving.batch.columns import segment_table, tensors_of_table, values_of_cells
from inference.serving.batch.rows import BadRow, tensors_of_row
from inference.serving.batch.steps import Step
from inference.serving.datatypes import Tensors
from inference.serving.signature import Signature


class TableStep:
    """Rows of a table. What a file of text calls the line is the row."""

    def __init__(self, table: pa.Table, first_row: int) -> None:
        self.rows = self.lines = range(first_row, first_row + len(table))
        self._table = table

    def all_tensors(self, signature: Signature) -> Tensors | None:
        return tensors_of_table(self._table, signature)

    def each(self, signature: Signature) -> Iterator[Tensors | str]:
        cells: dict[str, Any]
        for cells in self._table.to_pylist():
            try:
                yield tensors_of_row(values_of_cells(cells, signature), signature)
            except BadRow as error:
                yield str(error)


class TableSource:
    """The rows of a segment."""

    def __init__(self, segment: bytes, first_row: int) -> None:
        self._table = segment_table(segment)
        self._first_row = first_row
        self._position = 0

    def take(self, most: int) -> Step | None:
        table = self._table.slice(self._position, most)
        if not len(table):
            return None
        step = TableStep(table, self._first_row + self._position)
        self._position += len(table)
        return step
