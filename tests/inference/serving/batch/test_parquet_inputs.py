"""Parquet as input: the same answers and errors as for the same rows in JSON lines, in bounded pieces."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pytest
from django.conf import settings
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as drawn
from hypothesis import strategies as st

from governance.data.erasing import request_erasure, run_erasure
from governance.data.models import Asset
from governance.tenants.context import tenant_context
from inference.serving.batch import columns, planning, worker
from inference.serving.batch.cataloguing import INPUT
from inference.serving.batch.columns import segment_table, segments
from inference.serving.batch.reading import UnreadableFile, read_rows
from inference.serving.batch.results import JsonLines
from inference.serving.batch.steps import TextSource, TextStep, answer
from inference.serving.batch.table_steps import TableStep
from inference.serving.models import BatchShard
from inference.serving.signature import Signature
from tests.inference.serving.batch.jobs import compute, names, result, rows, start
from tests.inference.serving.batch.tables import parquet

ROW = pa.list_(pa.float32())


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("valkey")
class TestJobs:
    def test_a_table_and_the_same_lines_have_the_same_answers(self, admin, endpoint, monkeypatch):
        monkeypatch.setattr(settings, "BATCH_SHARD_ROWS", 64)
        monkeypatch.setattr(columns, "UNPACKED_ROWS", 50)
        lines = compute(start(admin, rows(250)))
        table = parquet({"x": pa.array([[i, 0, 0] for i in range(250)], ROW)}, row_group_size=90)
        job = compute(start(admin, table, filename="Rows.PARQUET"))
        assert (job.state, job.error, job.row_count) == ("succeeded", "", 250)
        assert job.result_sha256 == lines.result_sha256
        assert len(names(job)) == 2, "the segments go with the parts"
        with tenant_context(job.tenant_id), transaction.atomic():
            assert list(job.shards.order_by("index").values_list("row_count", flat=True)) == [64, 64, 64, 58]

    def test_columns_of_numbers_are_the_elements_of_the_only_input(self, admin, endpoint):
        table = parquet({"a": [1.0, None, 7.0], "b": pa.array([2, 5, 8], pa.int8()), "c": [3.0, 6.0, 9.0]})
        found = result(compute(start(admin, table, filename="t.parquet")))
        assert [line.get("outputs", {}).get("y") for line in found] == [[2, 3, 4], None, [8, 9, 10]]
        assert "must hold only numbers" in found[1]["error"]

    def test_rows_that_are_not_as_declared_are_told_and_lose_nothing(self, admin, endpoint):
        given = [[1, 2, 3], None, [1, 2], [1, None, 3], [1, float("nan"), 3], [4, 5, 6]]
        table = parquet({"x": pa.array(given, pa.list_(pa.float64()))})
        job = compute(start(admin, table, filename="t.parquet"))
        assert (job.state, job.rows_ok, job.rows_bad) == ("succeeded", 2, 4)
        found = result(job)
        assert [line.get("outputs", {}).get("y") for line in found] == [
            [2, 3, 4], None, None, None, None, [5, 6, 7],
        ]  # fmt: skip
        assert "asks for 3 elements" in found[2]["error"]
        assert all("must hold only numbers" in found[i]["error"] for i in (1, 3, 4))

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"PAR1 and then something else", "no Parquet"),
            (parquet({"x": pa.array([], ROW)}), "no rows"),
            (parquet({"x": pa.array([0], pa.timestamp("s"))}), 'column "x" is timestamp'),
            (parquet({"x": pa.array([[i, 0, 0] for i in range(9)], ROW)})[:-9], "no Parquet"),
        ],
    )
    def test_files_that_cannot_be_read_fail_with_a_reason(self, admin, endpoint, content, words):
        job = compute(start(admin, content, filename="a.parquet"))
        assert job.state == "failed"
        assert words in job.error

    def test_an_erasure_of_the_input_takes_the_segments_too(
        self, admin, endpoint, org, django_capture_on_commit_callbacks
    ):
        table = parquet({"x": pa.array([[1, 2, 3]], ROW)})
        job = start(admin, table, filename="a.parquet")
        with tenant_context(org.id):
            planning.plan(job.id)
            assert len(names(job)) == 2
            with transaction.atomic():
                asset = Asset.objects.get(type=INPUT, object_id=str(job.id))
            erasure = request_erasure(principal=admin, kind="asset", reference=str(asset.id), reason="asked")
            run_erasure(erasure.id)
        assert names(job) == []

    def test_a_shard_reads_its_segment_alone(self, admin, endpoint, monkeypatch):
        monkeypatch.setattr(settings, "BATCH_SHARD_ROWS", 2)
        table = parquet({"x": pa.array([[i, 0, 0] for i in range(6)], ROW)})
        job = start(admin, table, filename="a.parquet")
        with tenant_context(job.tenant_id):
            planning.plan(job.id)
            with transaction.atomic():
                shards = list(BatchShard.objects.filter(job=job).order_by("index"))
            source = worker._source(job, shards[1])
            assert list(source.take(9).rows) == [3, 4]
            assert source.take(9) is None


class TestLimits:
    def cut(self, content, *, rows=10, most_rows=1000, most_bytes=1 << 30):
        given = segments(
            io.BytesIO(content), rows=lambda *_given: rows, most_rows=most_rows, most_bytes=most_bytes
        )
        return [(segment_table(segment), count) for segment, count in given]

    def test_segments_hold_all_rows_in_order_whatever_the_row_groups(self):
        for group in (1, 7, 1000):
            table = parquet({"x": list(range(95)), "t": ["a"] * 95}, row_group_size=group)
            found = self.cut(table)
            assert [count for _table, count in found] == [10] * 9 + [5]
            assert [v for table, _count in found for v in table.column("x").to_pylist()] == list(range(95))

    def test_too_many_rows_are_refused_before_they_are_read(self):
        with pytest.raises(UnreadableFile, match="more than 50 rows"):
            self.cut(parquet({"x": list(range(51))}), most_rows=50)

    def test_a_small_file_that_becomes_a_giant_is_refused(self):
        giant = parquet({"x": ["a" * 100_000] * 1000}, compression="zstd")
        assert len(giant) < 1_000_000
        with pytest.raises(UnreadableFile, match="too large"):
            self.cut(giant, most_bytes=10_000_000)

    def test_two_columns_of_one_name_are_refused(self):
        twice = pa.table([pa.array([1]), pa.array([2])], names=["x", "x"])
        with pytest.raises(UnreadableFile, match="same name"):
            self.cut(parquet(twice))


class Doubling:
    """A runtime whose answers are told by heart."""

    def predict(self, inputs):
        return {"y": 2 * inputs["x"]}


OF = Signature.declared(
    [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
)
NUMBER = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.none(), st.booleans(), st.just("1")
)
LINES = st.one_of(
    st.lists(NUMBER, max_size=3).map(json.dumps),
    st.lists(NUMBER, min_size=2, max_size=2).map(lambda row: json.dumps({"x": row})),
    st.sampled_from(
        [
            '{"x": [[1], [2]]}',
            '{"x": [1, 2], "x": [3, 4]}',
            '{"x": 1}',
            '{"z": [1, 2]}',
            '{"x": [1',
            "2]}",
            "[1, 2]]",
        ]
    ),
)


class Lines:
    def __init__(self, lines):
        self.content = "\n".join(lines).encode()

    def open(self):
        return io.BytesIO(self.content)


@drawn(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(LINES, min_size=1, max_size=6))
def test_a_step_answers_each_line_as_if_it_were_alone(lines):
    raw = list(read_rows(Lines(lines), "jsonl"))
    written = JsonLines(OF, ())
    together = written.rows(answer(TextSource(iter(raw), []).take(10), Doubling(), OF, together=True))
    alone = b"".join(written.rows(answer(TextStep([row], []), Doubling(), OF, together=False)) for row in raw)
    assert together == alone


@drawn(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(st.none(), st.lists(st.one_of(st.none(), st.floats()), max_size=3)), min_size=1, max_size=6
    )
)
def test_a_table_answers_each_row_as_if_it_were_alone(given_rows):
    table = pa.table({"x": pa.array(given_rows, pa.list_(pa.float64()))})
    written = JsonLines(OF, ())
    together = written.rows(answer(TableStep(table, 1), Doubling(), OF, together=True))
    alone = b"".join(
        written.rows(answer(TableStep(table.slice(i, 1), i + 1), Doubling(), OF, together=False))
        for i in range(len(table))
    )
    assert together == alone


@pytest.mark.parametrize(
    ("kind", "column", "seen"),
    [
        ("INT8", pa.array([[1, 2], [3, 4]], pa.list_(pa.int64())), [[1, 2], [3, 4]]),
        ("UINT16", pa.array([[1, 2], [3, 4]], pa.list_(pa.uint8(), 2)), [[1, 2], [3, 4]]),
        ("FP64", pa.array([[1, 2], [3, 4]], pa.large_list(pa.int32())), [[1, 2], [3, 4]]),
        ("FP32", pa.array([[[1], [2]], [[3], [4]]], pa.list_(pa.list_(pa.float16()))), [[1, 2], [3, 4]]),
        ("INT8", pa.array([[1, 2], [3, 400]], pa.list_(pa.int64())), None),
        ("INT8", pa.array([[1, 2], [3, 4]], pa.list_(pa.float64())), None),
        ("BYTES", pa.array([["a", "b"]] * 2), None),
    ],
)
def test_columns_become_tensors_without_a_detour_where_they_are_as_declared(kind, column, seen):
    of = Signature.declared([{"name": "x", "datatype": kind, "shape": [-1, 2]}], [])
    tensors = TableStep(pa.table({"x": column}), 1).all_tensors(of)
    assert (tensors is None) if seen is None else np.array_equal(tensors["x"], seen)
