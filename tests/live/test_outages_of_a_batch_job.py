"""A batch job while its broker is restarted and while there is no room: nothing is lost, nothing is computed twice."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import psutil
import pytest

from openclaw_site.demo.clients import Person
from openclaw_site.demo.usage import MODEL
from tests.live.site import LiveSite

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

ROWS = 60_000
# Below what one shard's result takes, above what a worker writes to be there.
ROOM_BYTES = 64 * 1024
AWAY_S = 3.0
END_S = 300.0


class Jobs:
    """One file, sent again and again to the same version."""

    def __init__(self, site: LiveSite, admin: Person) -> None:
        self.site, self.admin = site, admin
        self.version = admin.rows("/api/v1/endpoints/", name=MODEL)[0]["split"][0]["version"]
        one, other = (
            json.dumps({"image": [[[n * i % most for i in range(8)] for n in range(8)]]}) for most in (17, 5)
        )
        self.file = f"{one}\n{other}\n".encode() * (ROWS // 2)

    def start(self) -> str:
        made = self.admin.call(
            "POST",
            "/api/v1/batch-jobs/",
            status=201,
            data={"endpoint": MODEL, "version": self.version},
            files={"file": ("images.jsonl", self.file, "application/x-ndjson")},
        )
        return str(made["id"])

    def row(self, job_id: str) -> dict[str, Any]:
        return self.site.sql("SELECT * FROM serving_batchjob WHERE id = %s", job_id)[0]

    def shards(self, job_id: str) -> dict[int, dict[str, Any]]:
        found = self.site.sql("SELECT * FROM serving_batchshard WHERE job_id = %s", job_id)
        return {shard["index"]: shard for shard in found}

    def done(self, job_id: str) -> dict[int, dict[str, Any]]:
        return {i: shard for i, shard in self.shards(job_id).items() if shard["state"] == "done"}

    def begun(self) -> str:
        """A job with some shards done, and most of them not."""
        job_id = self.start()
        self.site.until(lambda: self.done(job_id), "the first shard", END_S, every_s=0.01)
        return job_id

    def ended(self, job_id: str) -> dict[str, Any]:
        def end() -> dict[str, Any] | None:
            found = self.row(job_id)
            return found if found["finished_at"] else None

        row: dict[str, Any] = self.site.until(end, "the job to end", END_S, every_s=0.2)
        return row


@pytest.fixture
def jobs(played: LiveSite) -> Iterator[Jobs]:
    with played.person("tenant-admin") as admin:
        yield Jobs(played, admin)


@pytest.fixture
def undisturbed(jobs: Jobs) -> str:
    """The digest of the result where nothing happens."""
    row = jobs.ended(jobs.start())
    assert (row["state"], row["rows_ok"], row["rows_bad"]) == ("succeeded", ROWS, 0), row["error"]
    return str(row["result_sha256"])


def whole(jobs: Jobs, job_id: str, undisturbed: str, before: dict[int, dict[str, Any]]) -> None:
    """Every row once and in order, the same bytes as ever, and what had been done was not done again."""
    row = jobs.ended(job_id)
    assert (row["state"], row["rows_ok"], row["rows_bad"], row["error"]) == ("succeeded", ROWS, 0, "")
    content = jobs.admin.send("GET", f"/api/v1/batch-jobs/{job_id}/result/").content
    assert sha256(content).hexdigest() == row["result_sha256"] == undisturbed
    assert [json.loads(line)["row"] for line in content.splitlines()] == list(range(1, ROWS + 1))
    after = jobs.shards(job_id)
    assert {shard["state"] for shard in after.values()} == {"done"}
    for index, shard in before.items():
        kept = ("attempts", "finished_at", "lease_token", "result_sha256")
        assert [after[index][name] for name in kept] == [shard[name] for name in kept]


def test_a_broker_that_restarts_in_the_middle_loses_and_repeats_nothing(
    played: LiveSite, jobs: Jobs, undisturbed: str
) -> None:
    job_id = jobs.begun()
    with played.without_valkey():
        before, row = jobs.done(job_id), jobs.row(job_id)
        assert row["state"] == "running"
        assert 0 < len(before) < len(jobs.shards(job_id)), "it is in the middle"
        time.sleep(AWAY_S)  # what was under way ends and finds nobody to tell
    # This broker kept nothing: every message that waited in it is gone.
    whole(jobs, job_id, undisturbed, before)
    played.until(played.healthy, "the site to recover", 60)


@contextmanager
def no_room(worker: psutil.Process) -> Iterator[None]:
    """No file of the worker's processes may grow beyond what is allowed, as on a full disk."""
    children = worker.children(recursive=True)
    assert children
    limits = {child.pid: resource.prlimit(child.pid, resource.RLIMIT_FSIZE) for child in children}
    for pid, (_soft, hard) in limits.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (ROOM_BYTES, hard))
    try:
        yield
    finally:
        for pid, limit in limits.items():
            if psutil.pid_exists(pid):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)


def test_a_full_disk_in_the_middle_pauses_the_job_which_goes_on_when_there_is_room(
    played: LiveSite, jobs: Jobs, undisturbed: str
) -> None:
    job_id = jobs.begun()
    with no_room(psutil.Process(played.processes["worker"].pid)):
        played.until(lambda: jobs.row(job_id)["state"] == "paused", "the job to pause", END_S, every_s=0.1)
        told = jobs.admin.get(f"/api/v1/batch-jobs/{job_id}/")
        assert "no room" in told["error"]
        # Shards under way end without counting; after that nobody works on a paused job.
        played.until(
            lambda: not [s for s in jobs.shards(job_id).values() if s["state"] == "running"],
            "the shards under way to end",
            END_S,
        )
        before = jobs.done(job_id)
        assert 0 < len(before) < len(jobs.shards(job_id)), "it is in the middle"
        assert all(s["attempts"] == 0 for s in jobs.shards(job_id).values() if s["state"] == "waiting")
    jobs.admin.post(f"/api/v1/batch-jobs/{job_id}/resume/")
    whole(jobs, job_id, undisturbed, before)
