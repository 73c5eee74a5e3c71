"""Planning that ends its worker every time ends the job; one that is under way is not begun twice."""

from __future__ import annotations

import socket
from datetime import timedelta

import psutil
import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from governance.audit.models import AuditEntry
from governance.data import datasets
from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.serving.batch import planning, stalled
from inference.serving.batch.attempts import MAX_ATTEMPTS
from inference.serving.batch.pausing import pause_batch_job, resume_batch_job
from inference.serving.batch.services import create_batch_job
from inference.serving.models import BatchShard
from tests.factories.inference import make_endpoint, make_version
from tests.inference.serving.batch.jobs import compute, rows, start
from tests.inference.serving.batch.rows_of_jobs import change, now
from tests.workers import wait_for, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def abandoned(job):
    """As long after its worker's death as it takes until somebody takes over."""
    long_ago = timezone.now() - timedelta(seconds=10 * settings.BATCH_LEASE_S)
    change(job, planned_until=long_ago, sent_at=long_ago)


@pytest.fixture
def silent():
    """A storage service that takes connections and never answers: whoever plans from it is in the middle of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(120)
        yield server


def test_a_file_that_kills_every_worker_ends_its_job(
    org, principal_for, services, tmp_path, monkeypatch, silent
):
    admin = principal_for(org, Role.TENANT_ADMIN)
    make_endpoint(admin, make_version(admin))
    credentials = tmp_path / "credentials"
    credentials.write_text("id\nsecret\n")
    monkeypatch.setenv("OPENCLAW_DATA_BUCKETS", f"{org.slug}=exports")
    monkeypatch.setenv("OPENCLAW_DATA_S3_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
    monkeypatch.setenv("OPENCLAW_DATA_S3_REGION", "eu-1")
    monkeypatch.setenv("OPENCLAW_DATA_S3_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setattr(settings, "OPENCLAW_DATA_BUCKETS", ((org.slug, "exports", ""),))
    with tenant_context(org.id):
        dataset = datasets.reference_dataset(
            principal=admin, name="loans", location="s3://exports/loans.jsonl", digest="0" * 64
        )
        job = create_batch_job(principal=admin, endpoint_name="adder", dataset_id=dataset.id)
    log = tmp_path / "worker.log"
    with worker(services, tmp_path, "worker", queue="batch") as process:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            connection, _address = silent.accept()
            found = now(job)
            assert (found.state, found.plan_attempts) == ("queued", attempt)
            for child in psutil.Process(process.pid).children():
                child.kill()
            connection.close()
            assert stalled.resume_stalled() == 0, "its lease has not run out"
            abandoned(job)
            assert stalled.resume_stalled() == 1
        done = wait_for(lambda: found if (found := now(job)).finished_at else None, "the end", log)
    assert (done.state, done.plan_attempts) == ("failed", MAX_ATTEMPTS)
    assert f"given up after {MAX_ATTEMPTS} attempts" in done.error
    with tenant_context(org.id), transaction.atomic():
        assert AuditEntry.objects.filter(action="serving.batch.fail", target_id=str(job.id)).count() == 1


def test_what_one_worker_plans_another_leaves_alone(admin, endpoint, org):
    job = start(admin, rows(3))
    change(job, planned_until=timezone.now() + timedelta(minutes=1), plan_attempts=1)
    with tenant_context(org.id):
        planning.plan(job.id)
    assert (now(job).state, now(job).plan_attempts) == ("queued", 1)
    abandoned(job)
    done = compute(job)
    assert (done.state, done.plan_attempts, done.planned_until) == ("succeeded", 2, None)


def test_while_a_large_file_is_read_its_planning_is_not_taken_over(admin, endpoint, org, monkeypatch):
    monkeypatch.setattr(settings, "BATCH_SHARD_ROWS", 10)
    monkeypatch.setattr(settings, "BATCH_RENEW_S", 0)
    job = start(admin, rows(30))
    seen = []
    cut = planning._cut

    def slowly(*given):
        for shard in cut(*given):
            yield shard
            before = now(job)
            abandoned(job)
            seen.append(before.planned_until)

    monkeypatch.setattr(planning, "_cut", slowly)
    with tenant_context(org.id):
        planning.plan(job.id)
    assert len(seen) == 3
    assert all(until > timezone.now() - timedelta(seconds=settings.BATCH_LEASE_S) for until in seen)
    assert now(job).state == "running"
    with tenant_context(org.id), transaction.atomic():
        assert BatchShard.objects.filter(job=job).count() == 3


def test_paused_while_it_is_planned_it_is_planned_anew_at_once(admin, endpoint, org, monkeypatch):
    job = start(admin, rows(3))
    cut = planning._cut

    def pausing(*given):
        pause_batch_job(principal=admin, job_id=job.id)
        return cut(*given)

    with tenant_context(org.id):
        with monkeypatch.context() as patched:
            patched.setattr(planning, "_cut", pausing)
            planning.plan(job.id)
        assert (now(job).state, now(job).plan_attempts, now(job).planned_until) == ("paused", 0, None)
        resume_batch_job(principal=admin, job_id=job.id)
    assert compute(job).state == "succeeded"
