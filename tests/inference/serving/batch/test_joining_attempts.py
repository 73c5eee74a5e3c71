"""Joining that fails every time ends the job with the reason; whatever comes in between, it is joined exactly once."""

from __future__ import annotations

import errno
import os
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.conf import settings
from django.core.files.storage import storages
from django.db import transaction
from django.utils import timezone

from governance.audit.models import AuditEntry
from governance.errors import Unavailable
from governance.keys.storage import SealedPath
from governance.tenants.context import tenant_context
from inference.serving.batch import files, joining, planning, stalled, worker
from inference.serving.batch.attempts import MAX_ATTEMPTS
from inference.serving.batch.pausing import pause_batch_job, resume_batch_job
from inference.serving.models import BatchShard
from tests.inference.serving.batch.jobs import content, names, result, rows, start
from tests.inference.serving.batch.rows_of_jobs import change, now
from tests.workers import wait_for
from tests.workers import worker as real_worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture
def computed(admin, endpoint, monkeypatch):
    """A job whose shards are done: it waits for its joining."""
    monkeypatch.setattr(settings, "BATCH_SHARD_ROWS", 10)
    job = start(admin, rows(30))
    with tenant_context(job.tenant_id):
        planning.plan(job.id)
        for shard in shards(job):
            worker.run_shard(shard.id)
    return job


def shards(job):
    with transaction.atomic():
        return list(BatchShard.objects.filter(job=job).order_by("index"))


def abandoned(job, **more):
    """As long after the last sign of work as it takes until somebody takes over."""
    long_ago = timezone.now() - timedelta(seconds=10 * settings.BATCH_LEASE_S)
    change(job, sent_at=long_ago, **({"joined_until": long_ago} | more))


def ends(job):
    with tenant_context(job.tenant_id), transaction.atomic():
        found = AuditEntry.objects.filter(target_id=str(job.id), action__startswith="serving.batch.")
        return list(found.exclude(action="serving.batch.create").values_list("action", flat=True))


def join(job):
    with tenant_context(job.tenant_id):
        joining.join(job.id)
    return now(job)


def failing(monkeypatch, error):
    """Every attempt to write the result fails, when some of it was read already."""

    def write(self, chunks, **options):
        next(iter(chunks))
        raise error

    monkeypatch.setattr(SealedPath, "write", write)


class Stuck:
    """A pipe in place of the second part of the result: whoever comes to it waits there until it is killed."""

    def __init__(self, job):
        with tenant_context(job.tenant_id):
            part = shards(job)[1]
            sealed = files.shard_path(job, part.index, part.lease_token).sealed
        self.path = Path(storages["objects"].path(sealed.name))
        self.kept = self.path.with_suffix(".kept")
        self.path.rename(self.kept)
        os.mkfifo(self.path)

    def give_back(self):
        os.replace(self.kept, self.path)


def killed_while_joining(job, attempt, process, log):
    wait_for(lambda: now(job).join_attempts == attempt, f"attempt {attempt}", log)
    assert now(job).joined_until > timezone.now() - timedelta(seconds=settings.BATCH_LEASE_S)
    for child in psutil.Process(process.pid).children():
        child.kill()


def test_parts_that_kill_every_worker_end_the_job(computed, services, tmp_path):
    Stuck(computed)
    abandoned(computed, joined_until=None)
    assert stalled.resume_stalled() == 1
    log = tmp_path / "worker.log"
    with real_worker(services, tmp_path, "worker", queue="batch") as process:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            killed_while_joining(computed, attempt, process, log)
            assert now(computed).state == "running"
            assert stalled.resume_stalled() == 0, "its lease has not run out"
            abandoned(computed)
            assert stalled.resume_stalled() == 1
        done = wait_for(lambda: found if (found := now(computed)).finished_at else None, "the end", log)
    assert (done.state, done.join_attempts) == ("failed", MAX_ATTEMPTS)
    assert f"given up after {MAX_ATTEMPTS} attempts to join its parts" in done.error
    assert ends(computed) == ["serving.batch.fail"]


def test_killed_in_the_middle_of_joining_it_is_joined_once(computed, services, tmp_path):
    stuck = Stuck(computed)
    abandoned(computed, joined_until=None)
    assert stalled.resume_stalled() == 1
    log = tmp_path / "worker.log"
    with real_worker(services, tmp_path, "worker", queue="batch") as process:
        killed_while_joining(computed, 1, process, log)
        stuck.give_back()
        abandoned(computed)
        assert stalled.resume_stalled() == 1
        done = wait_for(
            lambda: found if (found := now(computed)).finished_at else None,
            "the end",
            tmp_path / "worker.log",
        )
    assert (done.state, done.join_attempts, done.joined_until) == ("succeeded", 2, None)
    assert [line["row"] for line in result(done)] == list(range(1, 31))
    assert ends(computed) == ["serving.batch.succeed"]


def test_what_one_worker_joins_another_leaves_alone(computed):
    change(computed, joined_until=timezone.now() + timedelta(minutes=1), join_attempts=1)
    assert (join(computed).state, now(computed).join_attempts) == ("running", 1)
    abandoned(computed)
    assert (join(computed).state, now(computed).join_attempts) == ("succeeded", 2)


def test_an_attempt_that_was_taken_over_leaves_nothing(computed, monkeypatch):
    """The lease of a worker that is only slow runs out: the other's result counts, and there is one."""
    write = SealedPath.write

    def slowly(self, chunks, **options):
        monkeypatch.setattr(SealedPath, "write", write)
        abandoned(computed)
        assert join(computed).state == "succeeded"
        return write(self, chunks, **options)

    monkeypatch.setattr(SealedPath, "write", slowly)
    kept = files.joined_path
    tried = []
    monkeypatch.setattr(files, "joined_path", lambda *given: tried.append(given[1]) or kept(*given))
    done = join(computed)
    first, second = tried
    assert (done.state, done.result_id, len(result(done)), len(names(done))) == ("succeeded", second, 30, 2)
    assert first != second
    assert ends(computed) == ["serving.batch.succeed"]


def test_an_error_that_always_comes_again_is_the_reason(computed, monkeypatch):
    failing(monkeypatch, OSError(errno.EIO, "Input/output error"))
    for attempt in range(1, MAX_ATTEMPTS + 1):
        with pytest.raises(OSError, match="Input/output"):
            join(computed)
        assert now(computed).join_attempts == attempt
    done = now(computed)
    assert done.state == "failed"
    assert f"after {MAX_ATTEMPTS} attempts to join its parts" in done.error
    assert "Input/output error" in done.error
    assert ends(computed) == ["serving.batch.fail"]


def test_an_error_that_passes_costs_an_attempt_and_is_tried_again_by_itself(computed, monkeypatch):
    with monkeypatch.context() as patched:
        failing(patched, MemoryError())
        with pytest.raises(MemoryError):
            join(computed)
    assert (now(computed).state, now(computed).joined_until) == ("running", None)
    abandoned(computed, joined_until=None)
    assert stalled.resume_stalled() == 1
    assert (join(computed).state, now(computed).join_attempts) == ("succeeded", 2)


def test_without_room_it_waits_for_a_person_and_no_attempt_counts(admin, computed, monkeypatch):
    with monkeypatch.context() as patched:
        failing(patched, OSError(errno.ENOSPC, "No space left on device"))
        for _ in range(MAX_ATTEMPTS + 1):
            assert join(computed).state == "paused"
            assert (now(computed).join_attempts, now(computed).joined_until) == (0, None)
            assert "Make room there" in now(computed).error
            with tenant_context(computed.tenant_id):
                resume_batch_job(principal=admin, job_id=computed.id)
    assert join(computed).state == "succeeded"
    assert [line["row"] for line in result(now(computed))] == list(range(1, 31))


def test_keys_that_are_away_cost_no_attempt(computed, monkeypatch):
    with monkeypatch.context() as patched:
        failing(patched, Unavailable("The key service is away."))
        for _ in range(MAX_ATTEMPTS + 1):
            assert (join(computed).state, now(computed).join_attempts) == ("running", 0)
    assert join(computed).state == "succeeded"


def test_paused_while_it_is_joined_it_is_joined_anew_at_once(admin, computed, monkeypatch):
    write = SealedPath.write

    def pausing(self, chunks, **options):
        pause_batch_job(principal=admin, job_id=computed.id)
        return write(self, chunks, **options)

    with monkeypatch.context() as patched:
        patched.setattr(SealedPath, "write", pausing)
        assert join(computed).state == "paused"
    assert (now(computed).join_attempts, now(computed).joined_until) == (0, None)
    with tenant_context(computed.tenant_id):
        resume_batch_job(principal=admin, job_id=computed.id)
    assert join(computed).state == "succeeded"
    assert len(names(computed)) == 2


def test_while_a_large_result_is_joined_its_joining_is_not_taken_over(computed, monkeypatch):
    monkeypatch.setattr(settings, "BATCH_RENEW_S", 0)
    seen = []
    write = SealedPath.write

    def watched(chunks):
        for chunk in chunks:
            seen.append(now(computed).joined_until)
            abandoned(computed)
            yield chunk

    monkeypatch.setattr(
        SealedPath, "write", lambda self, chunks, **more: write(self, watched(chunks), **more)
    )
    done = join(computed)
    assert done.state == "succeeded"
    assert len(seen) == 3
    assert all(until > timezone.now() - timedelta(seconds=settings.BATCH_LEASE_S) for until in seen)
    assert content(done)
