"""A batch prediction over an uploaded file, with a worker killed in the middle of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from openclaw_site.config import is_loopback
from openclaw_site.demo.clients import Person, Program
from openclaw_site.demo.steps import Step, StepFailed
from openclaw_site.demo.world import World
from openclaw_site.runner.lock import RunLock, RunState

Array = npt.NDArray[Any]
COPIES = 30
TIMEOUT_S = 180.0
BATCH_WORKER = "worker-batch"
# A shard of 1,000 rows takes a tenth of a second or more: so long after one has ended, the next is half done.
INTO_THE_NEXT_SHARD_S = 0.06


def play(step: Step, world: World, program: Program, watcher: Person, *, endpoint: str, version: str) -> None:
    """Upload a file, follow it live, kill a worker while it runs, and count every row of the result."""
    images, truth = world.unseen("digits")
    file = world.folder / "images.jsonl"
    rows = len(images) * COPIES
    _write_rows(file, images)
    job = _create(program, file, endpoint=endpoint, version=version)
    step.saw(
        f"{file.name}: {rows:,} rows, {file.stat().st_size / 1e6:.1f} MB → job {job['id']} by {job['version']}"
    )
    file.unlink()
    state = _follow(step, world, watcher, str(job["id"]))
    step.expect(state["state"] == "succeeded", "the job succeeded", seen=state)
    lines = program.send("GET", f"/api/v1/batch-jobs/{job['id']}/result/").text.splitlines()
    results = [json.loads(line) for line in lines]
    step.expect(
        [result["row"] for result in results] == list(range(1, rows + 1)),
        f"the result has every one of the {rows:,} rows exactly once, in order",
        seen=len(results),
    )
    answers = np.array([np.argmax(result["outputs"]["probabilities"]) for result in results])
    accuracy = float((answers == np.tile(truth, COPIES)).mean())
    finished = program.get(f"/api/v1/batch-jobs/{job['id']}/")
    step.saw(f"accuracy over the file: {accuracy:.1%}; {finished['rows_bad']} rows with an error")


def _write_rows(file: Path, images: Array) -> None:
    lines = [json.dumps({"image": image.tolist()}) for image in images]
    file.write_text("\n".join(lines * COPIES) + "\n", encoding="utf-8")


def _create(program: Program, file: Path, *, endpoint: str, version: str) -> dict[str, Any]:
    with file.open("rb") as stream:
        made: dict[str, Any] = program.call(
            "POST",
            "/api/v1/batch-jobs/",
            status=201,
            data={"endpoint": endpoint, "version": version},
            files={"file": (file.name, stream, "application/x-ndjson")},
        )
    return made


def _follow(step: Step, world: World, watcher: Person, job_id: str) -> dict[str, Any]:
    url = world.url.replace("http", "ws", 1) + f"/ws/batch-jobs/{job_id}/"
    state: dict[str, Any] = {}
    killed, quarter, messages = False, 0, 0
    deadline = time.monotonic() + TIMEOUT_S
    with connect(url, origin=Origin(world.url), additional_headers={"Cookie": watcher.cookie()}) as socket:
        while not state.get("finished"):
            try:
                state = json.loads(socket.recv(timeout=max(0.0, deadline - time.monotonic())))
            except TimeoutError as error:
                raise StepFailed(f"the job did not end within {TIMEOUT_S:.0f} s: {state}") from error
            except ConnectionClosed as error:
                raise StepFailed(f"the WebSocket was closed: {error}") from error
            messages += 1
            total = state["row_count"] or 0
            if total and 4 * state["rows_done"] // total > quarter:
                quarter = 4 * state["rows_done"] // total
                step.note(
                    f"live: {state['rows_done']:,} of {total:,} rows, {state['shards_done']}/{state['shards']} shards"
                )
            if not killed and total and 0 < state["rows_done"] < total:
                killed = True
                time.sleep(INTO_THE_NEXT_SHARD_S)
                _kill_a_worker(step, world)
    step.saw(f"{messages} messages over the WebSocket")
    return state


def _kill_a_worker(step: Step, world: World) -> None:
    """End the process that computes a shard, where the site's processes are ours to end."""
    runner = RunLock(world.config.var).holder()
    state = RunState.read(world.config.var)
    if not is_loopback(world.config.public_host) or runner <= 0 or state.pid != runner:
        step.note("the site runs elsewhere, so no worker is killed")
        return
    record = next((child for child in state.children if child.name == BATCH_WORKER), None)
    if record is None:
        step.note("the site has no batch worker of its own here")
        return
    worker = psutil.Process(record.pid)
    pool = [child for child in worker.children() if child.is_running()]
    if worker.create_time() - record.created > 1 or not pool:
        step.note("the batch worker was just restarted, so none is killed")
        return
    pool[0].kill()
    step.saw(f"SIGKILL to process {pool[0].pid} of the batch worker, in the middle of the job")
    step.note("what it had begun is begun again once its lease has run out")
