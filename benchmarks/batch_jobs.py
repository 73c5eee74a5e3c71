"""What `benchmarks.batch` measures, in a process with the site's environment: batch jobs on real Celery workers.

`python -m benchmarks.batch_jobs FOLDER ROUNDS` makes a tenant with two endpoints, sends each file as a job to one
worker process and to two, and prints one line of JSON per job or raw run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
from django.db import transaction

django.setup()

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import graphs
from governance.access.principals import principal_for_user
from governance.principals import Factor, Principal, Signals
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Tenant, User
from inference.registry.services import register_model_version
from inference.rollouts.services import create_endpoint
from inference.serving.batch.services import create_batch_job
from inference.serving.batch.worker import MAX_TOGETHER
from inference.serving.models import BatchJob
from openclaw_site.config import CHECKOUT
from openclaw_site.demo import accounts

# So many that a job takes some ten seconds.
ROWS = {"tab": 300_000, "resnet": 4_000}
# Four shards: while one process loads the model, the other takes the next, and has it loaded too.
WARM_UP_ROWS = 4_000
CHUNK = 1 << 20
DEADLINE_S = 240.0


def main(folder: Path, rounds: int) -> None:
    accounts.seed()
    with platform_scope(), transaction.atomic():
        tenant = Tenant.objects.get(slug=accounts.COMPANY)
        admin = User.objects.get(username="tenant-admin")
    principal = principal_for_user(admin, tenant_id=tenant.id, signals=Signals(Factor.PASSKEY, time.time()))
    models = [graphs.tabular(folder), graphs.resnet(folder)]
    with tenant_context(tenant.id):
        for model in models:
            _serve(principal, model)
            _write_rows(model, folder / f"{model.name}.parquet", ROWS[model.name])
            _write_rows(model, folder / f"{model.name}-warm-up.parquet", WARM_UP_ROWS)
        for number in range(rounds):
            for workers in (1, 2) if number % 2 == 0 else (2, 1):
                with _celery(folder, workers) as process:
                    for model in models:
                        _job(principal, folder / f"{model.name}-warm-up.parquet", model.name, process)
                        if workers == 1:
                            _tell(model.name, "raw", _raw(folder, model.name))
                        measured = _job(principal, folder / f"{model.name}.parquet", model.name, process)
                        _tell(model.name, f"{workers} workers", measured)


def _tell(model: str, what: str, measured: dict[str, Any]) -> None:
    print(json.dumps({"model": model, "what": what, **measured}), flush=True)


def _serve(principal: Principal, model: graphs.Measured) -> None:
    with transaction.atomic():
        version = register_model_version(
            principal=principal,
            model_name=model.name,
            version="1.0.0",
            artifact=model.artifact,
            format="onnx",
            inputs=model.inputs,
            outputs=model.outputs,
            card="A model with random weights, for measuring.",
            source=ObjectRef(type="benchmarks.batch", id=model.name),
            labels=["public"],
        )
        create_endpoint(principal=principal, name=model.name, model_version_id=version.id)


def _write_rows(model: graphs.Measured, path: Path, count: int) -> None:
    """One column with the numbers of a row, as the model's input is called."""
    flat = np.random.default_rng(2).random((min(count, 10_000), model.row.size), dtype=np.float32)
    schema = pa.schema([pa.field(model.inputs[0]["name"], pa.list_(pa.float32()))])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, count, len(flat)):
            part = flat[: min(len(flat), count - start)]
            offsets = np.arange(len(part) + 1, dtype=np.int32) * np.int32(model.row.size)
            column = pa.ListArray.from_arrays(pa.array(offsets), pa.array(part.reshape(-1)))
            writer.write_table(pa.Table.from_arrays([column], schema=schema))


@contextmanager
def _celery(folder: Path, count: int) -> Iterator[psutil.Process]:
    """A batch worker with so many processes, which are told to use one thread each, as the raw run does."""
    command = [
        *(sys.executable, "-m", "celery", "-A", "openclaw_site.celery", "worker", "--queues=batch"),
        *(f"--concurrency={count}", "--without-gossip", "--without-mingle", "--loglevel=WARNING"),
    ]
    with (folder / f"worker-{count}.log").open("ab") as log:
        worker = subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log)
    try:
        yield psutil.Process(worker.pid)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)


def _job(principal: Principal, path: Path, endpoint: str, worker: psutil.Process) -> dict[str, Any]:
    """Send the file, wait for the result, and say what it took: from the upload's end to the joined result."""
    with path.open("rb") as file:
        job = create_batch_job(
            principal=principal,
            endpoint_name=endpoint,
            filename=path.name,
            chunks=iter(lambda: file.read(CHUNK), b""),
            result_format=BatchJob.ResultFormat.PARQUET,
        )
    before, began = _core_seconds(worker), time.perf_counter()
    deadline = began + DEADLINE_S
    while True:
        with transaction.atomic():
            job.refresh_from_db()
        if job.finished_at or time.perf_counter() > deadline:
            break
        time.sleep(0.02)
    seconds = time.perf_counter() - began
    taken = [after - before.get(pid, 0.0) for pid, after in _core_seconds(worker).items()]
    if job.state != BatchJob.State.SUCCEEDED or job.rows_bad:
        raise RuntimeError(f"the job of {path.name} is {job.state}: {job.error}")
    return {
        "rows": job.rows_ok,
        "seconds": seconds,
        "core_seconds": sum(taken),
        "busiest_core_seconds": max(taken),
    }


def _core_seconds(worker: psutil.Process) -> dict[int, float]:
    """The processor time of the worker and of each of its processes."""
    found = {}
    for process in (worker, *worker.children(recursive=True)):
        times = process.cpu_times()
        found[process.pid] = float(times.user + times.system)
    return found


def _raw(folder: Path, name: str) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.batch_raw",
        f"{folder / name}.onnx",
        f"{folder / name}.parquet",
    ]
    done = subprocess.run(
        [*command, str(MAX_TOGETHER)],
        cwd=CHECKOUT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
