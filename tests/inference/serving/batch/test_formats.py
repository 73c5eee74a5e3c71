"""Batch jobs by versions that ONNX Runtime does not compute: each in its own runtime, under the same rules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from inference.serving.batch import loading
from inference.serving.torch_program import parse
from tests.factories import torch_programs as programs
from tests.factories.inference import make_endpoint, make_version
from tests.inference.serving.batch.jobs import compute, result, rows, start

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


class AddOne(nn.Module):
    def forward(self, x):
        return x + 1


def test_a_torch_exported_program_computes_a_job_in_its_own_process(admin):
    archive = programs.export(AddOne(), torch.zeros(2, 3))
    program = parse(archive)
    version = make_version(
        admin,
        artifact=archive,
        format="torch-export",
        inputs=list(program.inputs),
        outputs=[{**program.outputs[0], "name": "y"}],
    )
    make_endpoint(admin, version)
    job = compute(start(admin, rows(25)))
    assert (job.state, job.rows_ok, job.rows_bad) == ("succeeded", 25, 0)
    assert [line["outputs"]["y"] for line in result(job)] == [[i + 1.0, 1.0, 1.0] for i in range(25)]
    (kept,) = loading._loaded.values()
    pid = kept.runtime.pid
    assert pid is not None
    loading.unload_all()
    assert kept.runtime.pid is None


def test_what_may_not_go_to_another_server_is_not_sent_there(admin, endpoint, monkeypatch):
    monkeypatch.setattr(
        loading.residency, "forbidden", lambda arm, **_: ("its data stays here, by the rule", None)
    )
    job = compute(start(admin, rows(5)))
    assert job.state == "failed"
    assert "its data stays here, by the rule" in job.error
