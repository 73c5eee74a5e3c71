"""A paused job begins nothing new, loses nothing, and goes on where it was."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client
from django.utils import timezone

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, NotFound
from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.serving.batch import joining, planning, progress, stalled, worker
from inference.serving.batch.pausing import pause_batch_job, resume_batch_job
from inference.serving.batch.retention import drop_old_jobs
from inference.serving.batch.services import cancel_batch_job
from inference.serving.models import BatchJob, BatchShard
from tests.inference.serving.batch.jobs import compute, content, names, rows, start

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(settings, "BATCH_SHARD_ROWS", 10)


def planned(admin, count=30):
    """A running job and the ids of its shards."""
    job = start(admin, rows(count))
    with tenant_context(job.tenant_id):
        planning.plan(job.id)
        with transaction.atomic():
            return job, list(
                BatchShard.objects.filter(job=job).order_by("index").values_list("id", flat=True)
            )


def now(job):
    with tenant_context(job.tenant_id), transaction.atomic():
        return BatchJob.objects.get(pk=job.pk)


def states(job):
    with tenant_context(job.tenant_id), transaction.atomic():
        return list(BatchShard.objects.filter(job=job).order_by("index").values_list("state", flat=True))


def test_a_paused_job_takes_no_new_shard_and_finishes_what_is_under_way(admin, endpoint, org):
    undisturbed = compute(start(admin, rows(30)))
    job, shards = planned(admin)
    with tenant_context(org.id):
        lease = progress.claim(shards[0])
        pause_batch_job(principal=admin, job_id=job.id)
        assert progress.claim(shards[1]) is None
        worker.run_shard(shards[2])
        assert states(job) == ["running", "waiting", "waiting"]
        assert progress.renew(lease, rows_done=5, rows_bad=0)
        with transaction.atomic():
            BatchShard.objects.filter(pk=shards[0]).update(lease_until=timezone.now())
    assert stalled.resume_stalled() == 0
    with tenant_context(org.id):
        resume_batch_job(principal=admin, job_id=job.id)
        assert states(job) == ["waiting"] * 3, "the worker of the first part is gone meanwhile"
        worker.run_shard(shards[0])
        pause_batch_job(principal=admin, job_id=job.id)
        resume_batch_job(principal=admin, job_id=job.id)
        assert states(job) == ["done", "waiting", "waiting"]
    done = compute(job)
    assert (done.state, done.rows_ok, done.error, done.paused_at) == ("succeeded", 30, "", None)
    assert (done.result_sha256, content(done)) == (undisturbed.result_sha256, content(undisturbed))
    with tenant_context(org.id), transaction.atomic():
        assert list(BatchShard.objects.filter(job=job).values_list("attempts", flat=True)) == [2, 1, 1]


def test_a_shard_that_ends_while_the_job_is_paused_counts_and_the_joining_waits(admin, endpoint, org):
    job, shards = planned(admin, 10)
    with tenant_context(org.id):
        lease = progress.claim(shards[0])
        real = progress.complete

        def complete(lease, **figures):
            pause_batch_job(principal=admin, job_id=job.id)
            return real(lease, **figures)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(progress, "claim", lambda shard_id: lease)
            patch.setattr(progress, "complete", complete)
            worker.run_shard(shards[0])
        joining.join(job.id)
        assert (now(job).state, states(job)) == ("paused", ["done"])
        resume_batch_job(principal=admin, job_id=job.id)
        joining.join(job.id)
    assert now(job).state == "succeeded"


def test_a_job_that_is_paused_before_it_is_planned_is_planned_when_it_is_resumed(admin, endpoint, org):
    job = start(admin, rows(20))
    with tenant_context(org.id):
        pause_batch_job(principal=admin, job_id=job.id)
        planning.plan(job.id)
        assert (now(job).state, states(job)) == ("paused", [])
        assert resume_batch_job(principal=admin, job_id=job.id).state == "queued"
    assert compute(job).state == "succeeded"


def test_a_shard_that_fails_while_the_job_is_paused_fails_it(admin, endpoint, org):
    job, shards = planned(admin)
    with tenant_context(org.id):
        lease = progress.claim(shards[0])
        pause_batch_job(principal=admin, job_id=job.id)
        progress.give_up(lease, "The model is broken.")
    assert (now(job).state, now(job).error) == ("failed", "The model is broken.")


def test_a_paused_job_can_be_cancelled_and_leaves_no_parts(admin, endpoint, org):
    job, shards = planned(admin)
    with tenant_context(org.id):
        worker.run_shard(shards[0])
        assert len(names(job)) == 2
        pause_batch_job(principal=admin, job_id=job.id)
        cancel_batch_job(principal=admin, job_id=job.id)
        with pytest.raises(Conflict):
            resume_batch_job(principal=admin, job_id=job.id)
        with pytest.raises(Conflict):
            pause_batch_job(principal=admin, job_id=job.id)
    assert states(job) == ["done", "cancelled", "cancelled"]
    assert len(names(job)) == 1


def test_whoever_may_not_cancel_a_job_may_neither_pause_nor_resume_it(
    admin, endpoint, org, other_org, principal_for
):
    job, _shards = planned(admin)
    for change in (pause_batch_job, resume_batch_job):
        with tenant_context(org.id), pytest.raises(AccessDenied):
            change(principal=principal_for(org, Role.DEVELOPER), job_id=job.id)
        with tenant_context(other_org.id), pytest.raises(NotFound):
            change(principal=principal_for(other_org, Role.TENANT_ADMIN), job_id=job.id)
    with tenant_context(org.id), pytest.raises(Conflict):
        resume_batch_job(principal=admin, job_id=job.id)
    assert now(job).state == "running"


def test_pausing_and_resuming_are_audited(admin, endpoint, org):
    job, _shards = planned(admin)
    with tenant_context(org.id):
        pause_batch_job(principal=admin, job_id=job.id, reason="the machine is needed")
        resume_batch_job(principal=admin, job_id=job.id)
        with transaction.atomic():
            kept = AuditEntry.objects.filter(action__in=["serving.batch.pause", "serving.batch.resume"])
            assert list(kept.order_by("sequence").values_list("action", "reason", "actor_id")) == [
                ("serving.batch.pause", "the machine is needed", admin.id),
                ("serving.batch.resume", "", admin.id),
            ]


def test_a_job_that_nobody_resumes_goes_with_its_files(admin, endpoint, org):
    job, _shards = planned(admin)
    with tenant_context(org.id):
        pause_batch_job(principal=admin, job_id=job.id)
    assert drop_old_jobs() == 0
    with tenant_context(org.id), transaction.atomic():
        long_ago = timezone.now() - timedelta(days=settings.BATCH_RETENTION_DAYS + 1)
        BatchJob.objects.filter(pk=job.pk).update(paused_at=long_ago)
    assert drop_old_jobs() == 1
    assert names(job) == []


def test_the_page_and_the_api_pause_and_resume(admin, endpoint, org, member):
    job, _shards = planned(admin)
    browser = Client()
    browser.force_login(member(org, Role.TENANT_ADMIN), backend="django.contrib.auth.backends.ModelBackend")
    page = f"/console/batch/{job.id}/"
    assert f"{page}pause/" in browser.get(page).text
    assert browser.post(f"{page}pause/").status_code == 302
    shown = browser.get(page).text
    assert f"{page}resume/" in shown and f"{page}cancel/" in shown and f"{page}pause/" not in shown
    assert browser.post(f"{page}resume/").status_code == 302
    address = f"/api/v1/batch-jobs/{job.id}/"
    paused = browser.post(f"{address}pause/").json()
    assert (paused["state"], bool(paused["paused_at"])) == ("paused", True)
    assert browser.post(f"{address}pause/").status_code == 409
    resumed = browser.post(f"{address}resume/").json()
    assert (resumed["state"], resumed["paused_at"]) == ("running", None)
