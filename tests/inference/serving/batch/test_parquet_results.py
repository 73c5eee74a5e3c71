"""Results as Parquet: the same answers as in JSON lines, in order, with what is wrong with the rows that have none."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from governance.errors import Conflict, InvalidInput
from governance.principals import Role
from inference.serving.batch import table_results, worker
from inference.serving.batch.results import JsonLines
from inference.serving.batch.steps import Answers
from inference.serving.batch.table_results import ArrowRows, parquet_of, schema_of
from inference.serving.models import BatchJob
from inference.serving.signature import Signature
from tests.inference.serving.batch.jobs import compute, content, names, result, rows, start
from tests.inference.serving.batch.tables import table

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

MIXED = b'{"x": [1, 2, 3]}\n\nnot json\n{"x": [1, "a", 3]}\n{"x": [1, 2]}\n[4, 5, 6]\n'


def test_rows_are_in_order_and_bad_ones_say_why(admin, endpoint):
    lines = result(compute(start(admin, MIXED)))
    job = compute(start(admin, MIXED, result_format="parquet"))
    found = table(job)
    assert found.schema.names == ["row", "line", "y", "refer", "error"]
    assert found.column("row").to_pylist() == [1, 2, 3, 4, 5]
    assert found.column("line").to_pylist() == [line["line"] for line in lines] == [1, 3, 4, 5, 6]
    assert found.column("y").to_pylist() == [line.get("outputs", {}).get("y") for line in lines]
    assert found.column("error").to_pylist() == [line.get("error") for line in lines]
    assert (job.rows_ok, job.rows_bad, job.result_bytes) == (2, 3, len(content(job)))
    assert len(names(job)) == 2


def test_wherever_shards_and_steps_end_the_file_is_the_same(admin, endpoint, monkeypatch):
    monkeypatch.setattr(table_results, "GROUP_ROWS", 70)
    digests = set()
    for shard_rows, step_rows in ((250, 256), (33, 4), (100, 64)):
        monkeypatch.setattr(settings, "BATCH_SHARD_ROWS", shard_rows)
        monkeypatch.setattr(worker, "MAX_TOGETHER", step_rows)
        job = compute(start(admin, rows(250), result_format="parquet"))
        digests.add(job.result_sha256)
    assert len(digests) == 1
    metadata = pq.ParquetFile(io.BytesIO(content(job))).metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [70, 70, 70, 40]


def test_the_form_is_chosen_when_the_job_is_made_over_rest(admin, endpoint, org, member):
    browser = Client()
    browser.force_login(member(org, Role.DEVELOPER), backend="django.contrib.auth.backends.ModelBackend")

    def send(**more):
        file = SimpleUploadedFile("rows.jsonl", rows(3))
        return browser.post("/api/v1/batch-jobs/", {"endpoint": "adder", "file": file, **more})

    assert send(result_format="pickle").status_code == 400
    made = send(result_format="parquet").json()
    assert made["result_format"] == "parquet"
    job = compute(BatchJob(id=made["id"], tenant_id=org.id))
    answer = browser.get(f"/api/v1/batch-jobs/{job.id}/result/")
    body = b"".join(answer.streaming_content)
    assert pq.read_table(io.BytesIO(body)).column("y").to_pylist()[2] == [3.0, 1.0, 1.0]
    assert answer["Content-Type"] == "application/vnd.apache.parquet"
    assert f"{job.id}.parquet" in answer["Content-Disposition"]
    assert job.result_sha256 in browser.get(f"/console/batch/{job.id}/").text


def test_a_key_does_not_stand_for_another_form_and_there_are_only_two(admin, endpoint):
    start(admin, rows(1), idempotency_key="k")
    with pytest.raises(Conflict):
        start(admin, rows(1), idempotency_key="k", result_format="parquet")
    with pytest.raises(InvalidInput):
        start(admin, rows(1), result_format="csv")


def signature(*outputs, batched=True):
    first = [-1] if batched else []
    return Signature.declared(
        [{"name": "x", "datatype": "FP32", "shape": [*first, 3]}],
        [{"name": name, "datatype": kind, "shape": [*first, *shape]} for name, kind, shape in outputs],
    )


def written(of, *steps):
    form = ArrowRows(of, ())
    part = io.BytesIO(b"".join([form.head(), *map(form.rows, steps), form.tail()]))
    return pq.read_table(io.BytesIO(b"".join(parquet_of(of, iter([part])))))


def test_every_kind_of_output_is_what_json_lines_say():
    of = signature(
        ("matrix", "FP64", [2, 2]), ("number", "INT8", []), ("yes", "BOOL", [2]), ("half", "FP16", [1]),
        ("text", "BYTES", [2]), ("error", "UINT64", [1]), ("any", "FP32", [-1]), ("none", "FP32", [0]),
    )  # fmt: skip
    generator = np.random.default_rng(0)
    text = np.empty((3, 2), dtype=object)
    text[...] = [["a", b"b"], ["c", "d"], ["é", b"\xff"]]
    outputs = {
        "matrix": generator.random((3, 2, 2)), "number": np.array([1, -2, 3], np.int8),
        "yes": np.array([[True, False]] * 3), "half": np.array([[0.5], [1], [2]], np.float16), "text": text,
        "error": np.array([[2**64 - 1]] * 3, np.uint64), "any": generator.random((3, 5)).astype(np.float32),
        "none": np.zeros((3, 0), np.float32),
    }  # fmt: skip
    together = Answers([1, 2, 3], [1, 2, 4], together=outputs)
    single = Answers(
        [1, 2, 3],
        [1, 2, 4],
        single=[{name: tensor[i : i + 1] for name, tensor in outputs.items()} for i in range(3)],
    )
    json_lines = JsonLines(of, ()).rows(single)
    assert [json.loads(line)["row"] for line in json_lines.splitlines()] == [1, 2, 3]
    for step in (together, single):
        found = written(of, step)
        assert found.schema.equals(schema_of(of))
        for row, line in zip(found.to_pylist(), map(json.loads, json_lines.splitlines()), strict=True):
            given = {("output.error" if name == "error" else name): v for name, v in line["outputs"].items()}
            for name, value in given.items():
                same = row[name] == value if name in ("text", "yes") else np.allclose(row[name], value)
                assert same, name


def test_rows_of_different_forms_and_models_without_rows():
    ragged = signature(("any", "FP32", [-1]))
    single = [{"any": np.ones((1, n), np.float32)} for n in (1, 3)]
    found = written(ragged, Answers([1, 2, 3], [1, 2, 3], single=[single[0], "bad", single[1]]))
    assert found.column("any").to_pylist() == [[1.0], None, [1.0, 1.0, 1.0]]
    assert found.column("error").to_pylist() == [None, "bad", None]
    whole = signature(("y", "FP32", [2]), batched=False)
    found = written(whole, Answers([1], [1], single=[{"y": np.array([1, 2], np.float32)}]))
    assert found.column("y").to_pylist() == [[1.0, 2.0]]
    found = written(whole, Answers([1], [1], single=[{"y": np.zeros((2, 2), np.float32)}]))
    assert found.column("y").to_pylist() == [None]
    assert "another form" in found.column("error").to_pylist()[0]


def test_a_result_takes_the_memory_of_a_row_group_not_of_the_file(monkeypatch):
    monkeypatch.setattr(table_results, "GROUP_ROWS", 100)
    of = signature(("y", "FP32", [1000]))
    generator = np.random.default_rng(0)

    def parts():
        for number in range(20):
            form = ArrowRows(of, ())
            places = list(range(100 * number + 1, 100 * number + 101))
            step = Answers(places, places, together={"y": generator.random((100, 1000)).astype(np.float32)})
            yield io.BytesIO(b"".join([form.head(), form.rows(step), form.tail()]))

    before = pa.total_allocated_bytes()
    written_bytes = most = 0
    for piece in parquet_of(of, parts()):
        written_bytes += len(piece)
        most = max(most, pa.total_allocated_bytes() - before)
    assert written_bytes > 6_000_000
    assert most < written_bytes / 2
