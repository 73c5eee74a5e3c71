"""Parquet files for tests, and results read back."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from tests.inference.serving.batch.jobs import content


def parquet(columns, **options):
    """A Parquet file of these columns."""
    sink = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), sink, **options)
    return sink.getvalue()


def table(job):
    """A job's result."""
    return pq.read_table(io.BytesIO(content(job)))
