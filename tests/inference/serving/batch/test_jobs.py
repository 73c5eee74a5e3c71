"""Batch jobs from file to result, computed by the very functions that the workers run."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client import generate_latest

from governance.access.hub import EVERYTHING, hub
from governance.errors import AccessDenied, Conflict, InvalidInput, NotFound, ObligationUnmet, TooLarge
from governance.ethics.services import void_approvals
from governance.ethics.use import Use
from governance.oversight.ruling import save_rule
from governance.principals import Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from inference.rollouts.selectors import endpoint_snapshot
from inference.rollouts.services import grant_invoke
from inference.serving.batch import files, loading, planning, progress, stalled, worker
from inference.serving.batch.retention import drop_old_jobs
from inference.serving.batch.services import cancel_batch_job
from inference.serving.batch.states import JOB_STATES, SHARD_STATES
from inference.serving.models import BatchJob, BatchShard
from tests.factories.governance import bearer_token, make_application
from tests.governance.ethics import steps
from tests.inference.serving.batch.jobs import compute, content, names, result, rows, start
from tests.states import assert_complete, assert_step, every_step

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

OPEN = ("queued", "running", "paused")
JOB_STEPS = {
    ("queued", "running"), ("running", "succeeded"), ("queued", "paused"), ("running", "paused"),
    ("paused", "queued"), ("paused", "running"),
} | {(source, end) for source in OPEN for end in ("failed", "cancelled")}  # fmt: skip
SHARD_STEPS = {("running", "waiting"), ("waiting", "running"), ("running", "done")} | {
    (source, end) for source in ("waiting", "running") for end in ("failed", "cancelled")
}


@pytest.mark.parametrize(("source", "target"), every_step(JOB_STATES))
def test_job_states(source, target):
    assert_step(JOB_STATES, source, target, JOB_STEPS)


@pytest.mark.parametrize(("source", "target"), every_step(SHARD_STATES))
def test_shard_states(source, target):
    assert_step(SHARD_STATES, source, target, SHARD_STEPS)


def test_state_tables_are_complete():
    assert_complete(JOB_STATES, BatchJob.State.values)
    assert_complete(SHARD_STATES, BatchShard.State.values)


def test_every_row_is_answered_in_order(admin, endpoint, monkeypatch):
    monkeypatch.setattr(settings, "BATCH_SHARD_ROWS", 100)
    job = compute(start(admin, rows(250)))
    assert (job.state, job.row_count, job.rows_ok, job.rows_bad) == ("succeeded", 250, 250, 0)
    found = result(job)
    assert [line["row"] for line in found] == list(range(1, 251))
    assert [line["outputs"]["y"] for line in found] == [[i + 1.0, 1.0, 1.0] for i in range(250)]
    assert job.result_bytes == len(content(job))
    assert len(names(job)) == 2  # input and result
    for name in names(job):
        kept = Path(storages["objects"].path(name)).read_bytes()
        assert b'{"x": [' not in kept and b'"outputs"' not in kept


def test_bad_rows_are_told_with_their_line_and_lose_nothing(admin, endpoint):
    content = b'{"x": [1, 2, 3]}\n\nnot json\n{"x": [1, "a", 3]}\n{"x": [1, 2]}\n{"z": 1}\n[4, 5, 6]\n\xff\n'
    job = compute(start(admin, content))
    assert (job.state, job.rows_ok, job.rows_bad) == ("succeeded", 2, 5)
    found = {line["line"]: line for line in result(job)}
    assert sorted(found) == [1, 3, 4, 5, 6, 7, 8]
    assert found[1]["outputs"]["y"] == [2.0, 3.0, 4.0]
    assert found[7]["outputs"]["y"] == [5.0, 6.0, 7.0]
    assert "not JSON" in found[3]["error"]
    assert "must hold only numbers" in found[4]["error"]
    assert "asks for 3 elements" in found[5]["error"]
    assert "unknown input" in found[6]["error"]


def test_csv_with_header_quotes_and_bad_cells(admin, endpoint, monkeypatch):
    monkeypatch.setattr(settings, "BATCH_SHARD_ROWS", 2)
    content = b'\xef\xbb\xbfa,"b\nwrapped",c\r\n1,2,3\r\n"4\n",5,6\r\n\r\n7,x,9\r\n10,11\r\n12,13,14'
    job = compute(start(admin, content, filename="Rows.CSV"))
    found = result(job)
    assert [line.get("outputs", {}).get("y") for line in found] == [
        [2, 3, 4], [5, 6, 7], None, None, [13, 14, 15],
    ]  # fmt: skip
    assert [line["line"] for line in found] == [3, 4, 7, 8, 9]
    assert "is no FP32" in found[2]["error"]
    assert "has 2 fields" in found[3]["error"]


@pytest.mark.parametrize(
    ("content", "filename", "words"),
    [
        (b"\n\n", "a.jsonl", "no rows"),
        (b"x,y,z\n", "a.csv", "no rows"),
        (b"\n1,2\n", "a.csv", "name its columns"),
        (b"[" + b"1" * (1 << 20) + b"]", "a.jsonl", "longer than"),
    ],
)
def test_files_that_cannot_be_read_fail_with_a_reason(admin, endpoint, content, filename, words):
    job = compute(start(admin, content, filename=filename))
    assert job.state == "failed"
    assert words in job.error


def test_uploads_that_are_refused_leave_nothing(admin, endpoint, org, monkeypatch):
    for filename in ("rows.exe", "rows", "../../x.arrow"):
        with pytest.raises(InvalidInput):
            start(admin, rows(1), filename=filename)
    with pytest.raises(InvalidInput, match="empty"):
        start(admin, b"")
    with pytest.raises(NotFound, match="no version"):
        start(admin, rows(1), version="9")
    monkeypatch.setattr(settings, "BATCH_UPLOAD_MAX_BYTES", 10)
    with pytest.raises(TooLarge):
        start(admin, rows(5))
    assert storages["objects"].names(f"{org.id}/batch", after="", limit=10) == []


def test_an_idempotency_key_makes_one_job(admin, endpoint):
    first = start(admin, rows(3), idempotency_key="k")
    assert start(admin, rows(3), idempotency_key="k").id == first.id
    with pytest.raises(Conflict, match="another request"):
        start(admin, rows(4), idempotency_key="k")
    assert start(admin, rows(3)).id != first.id


def test_two_requests_with_one_key_at_once_make_one_job(admin, endpoint):
    made, barrier = [], threading.Barrier(2)

    def request():
        barrier.wait()
        try:
            made.append(start(admin, rows(3), idempotency_key="race").id)
        finally:
            connection.close()

    threads = [threading.Thread(target=request) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2 and len(set(made)) == 1


def test_a_second_message_does_nothing(admin, endpoint, org):
    job = start(admin, rows(3))
    with tenant_context(org.id):
        planning.plan(job.id)
        planning.plan(job.id)
        with transaction.atomic():
            (shard,) = BatchShard.objects.filter(job=job)
        lease = progress.claim(shard.id)
        assert lease is not None and progress.claim(shard.id) is None
        worker.run_shard(shard.id)
        assert len(names(job)) == 1
    assert compute(job).state == "running"


def test_a_lapsed_lease_is_taken_over_and_the_late_worker_changes_nothing(admin, endpoint, org):
    job = start(admin, rows(3))
    with tenant_context(org.id):
        planning.plan(job.id)
        with transaction.atomic():
            (shard,) = BatchShard.objects.filter(job=job)
        late = progress.claim(shard.id)
        with transaction.atomic():
            BatchShard.objects.update(lease_until=timezone.now())
    assert stalled.resume_stalled() == 1
    with tenant_context(org.id):
        new = progress.claim(shard.id)
        assert new is not None and new.shard.attempts == 2
        assert not progress.renew(late, rows_done=1, rows_bad=0)
        assert not progress.complete(late, rows_done=3, rows_bad=0, sha256="0" * 64)
        assert progress.renew(new, rows_done=1, rows_bad=0)


def test_a_shard_that_kills_its_workers_fails_the_job(admin, endpoint, org):
    job = start(admin, rows(3))
    with tenant_context(org.id):
        planning.plan(job.id)
        with transaction.atomic():
            shard = BatchShard.objects.get(job=job)
        for _ in range(progress.MAX_ATTEMPTS):
            assert progress.claim(shard.id)
            with transaction.atomic():
                BatchShard.objects.update(lease_until=timezone.now())
        assert progress.claim(shard.id) is None
        with transaction.atomic():
            job.refresh_from_db()
            assert job.state == "failed" and "given up" in job.error


def test_a_model_that_is_gone_fails_the_job_with_a_reason(admin, endpoint, org):
    loading.unload_all()
    job = start(admin, rows(3))
    with tenant_context(org.id), transaction.atomic():
        artifact = BatchJob.objects.select_related("model_version").get(pk=job.pk).model_version.artifact
    artifact.file.delete()
    done = compute(job)
    assert done.state == "failed" and "cannot be loaded" in done.error


def test_cancelling_stops_the_shards(admin, endpoint, org, principal_for):
    job = start(admin, rows(3))
    with tenant_context(org.id):
        planning.plan(job.id)
        with transaction.atomic():
            shard = BatchShard.objects.get(job=job)
        lease = progress.claim(shard.id)
        with pytest.raises(AccessDenied):
            cancel_batch_job(principal=principal_for(org, Role.DEVELOPER), job_id=job.id)
        assert cancel_batch_job(principal=admin, job_id=job.id).state == "cancelled"
        assert not progress.renew(lease, rows_done=1, rows_bad=0)
        with pytest.raises(Conflict):
            cancel_batch_job(principal=admin, job_id=job.id)
    assert compute(job).state == "cancelled"


def test_other_tenants_and_ungranted_services_may_not(admin, endpoint, org, other_org, principal_for):
    job = start(admin, rows(3))
    with pytest.raises(NotFound):
        start(principal_for(other_org, Role.TENANT_ADMIN), rows(1))
    with pytest.raises(AccessDenied):
        start(principal_for(org, Role.SERVICE), rows(1))
    with tenant_context(other_org.id), pytest.raises(NotFound):
        cancel_batch_job(principal=principal_for(other_org, Role.TENANT_ADMIN), job_id=job.id)


def test_the_whole_job_over_rest(admin, endpoint, org):
    application, secret = make_application(org, scopes=["batch:write"])
    stranger, other_secret = make_application(org, scopes=["batch:write"])
    token = {"Authorization": f"Bearer {bearer_token(application, secret)}", "Idempotency-Key": "one"}
    client = Client()

    def send():
        file = SimpleUploadedFile("rows.jsonl", rows(5))
        return client.post("/api/v1/batch-jobs/", {"endpoint": "adder", "file": file}, headers=token)

    assert send().status_code == 403
    with tenant_context(org.id):
        grant_invoke(principal=admin, endpoint_id=endpoint.id, application_id=application.id)
    made = send()
    assert made.status_code == 201, made.content
    assert send().json()["id"] == made.json()["id"]
    address = f"/api/v1/batch-jobs/{made.json()['id']}/"
    assert client.get(f"{address}result/", headers=token).status_code == 409
    with tenant_context(org.id), transaction.atomic():
        job = BatchJob.objects.get()
    compute(job)
    seen = client.get(address, headers=token).json()
    assert (seen["state"], seen["rows_ok"], seen["version"]) == ("succeeded", 5, "1.0.0")
    answer = client.get(f"{address}result/", headers=token)
    body = b"".join(answer.streaming_content)
    assert len(body.splitlines()) == 5
    assert answer["Content-Type"] == "application/x-ndjson"
    other = {"Authorization": f"Bearer {bearer_token(stranger, other_secret)}"}
    assert client.get(address, headers=other).status_code == 404
    assert client.get("/api/v1/batch-jobs/", headers=other).json()["results"] == []
    assert client.post(f"{address}cancel/", headers=token).status_code == 409


async def test_a_result_is_streamed_by_the_real_kind_of_server(admin, endpoint, org, member):
    from asgiref.sync import sync_to_async

    def prepare():
        return compute(start(admin, rows(5))), member(org, Role.DEVELOPER)

    job, developer = await sync_to_async(prepare)()
    client = AsyncClient()
    await client.aforce_login(developer, backend="django.contrib.auth.backends.ModelBackend")
    answer = await client.get(f"/api/v1/batch-jobs/{job.id}/result/")
    pieces = [piece async for piece in answer.streaming_content]
    assert b"".join(pieces) == await sync_to_async(content)(job)
    assert int(answer["Content-Length"]) == job.result_bytes


def test_a_list_of_jobs_costs_the_same_however_long(admin, endpoint, org, member):
    browser = Client()
    browser.force_login(member(org, Role.DEVELOPER), backend="django.contrib.auth.backends.ModelBackend")
    browser.get("/api/v1/batch-jobs/")  # a process's first request asks what the later ones know for good
    counts = []
    for _ in range(2):
        compute(start(admin, rows(2)))
        # What is remembered for a second only is asked for anew by both, however long the work above took.
        hub.dispatch(EVERYTHING, "")
        with CaptureQueriesContext(connection) as queries:
            found = browser.get("/api/v1/batch-jobs/").json()["results"]
        counts.append(len(queries))
        assert found[0]["progress"] == {"rows_done": 2, "rows_bad": 0, "shards": 1, "shards_done": 1}
    assert counts[0] == counts[1]


def test_old_jobs_go_with_their_files(admin, endpoint, org):
    old, new = compute(start(admin, rows(1))), compute(start(admin, rows(1)))
    with tenant_context(org.id), transaction.atomic():
        BatchJob.objects.filter(pk=old.pk).update(
            finished_at=timezone.now() - timedelta(days=settings.BATCH_RETENTION_DAYS + 1)
        )
    assert drop_old_jobs() == 1
    assert names(old) == []
    assert files.result_path(new).exists()
    with tenant_context(org.id), transaction.atomic():
        assert [job.id for job in BatchJob.objects.all()] == [new.id]


def test_the_figures_of_the_tables_are_part_of_the_metrics(admin, endpoint):
    start(admin, rows(1))
    text = generate_latest().decode()
    assert 'openclaw_batch_jobs{state="queued"} 1.0' in text


class TestDuties:
    """What a job owes a person."""

    def rule(self, admin, endpoint, limit, **more):
        with tenant_context(admin.tenant_id):
            save_rule(
                principal=admin,
                target=ObjectRef.of(endpoint),
                tenant_id=admin.tenant_id,
                question="Is it right?",
                options=(),
                confidence_below=limit,
                output="y",
                due_minutes=30,
                **more,
            )

    def test_rows_that_a_person_must_look_at_are_marked(self, admin, endpoint):
        self.rule(admin, endpoint, 1.0)
        job = start(admin, b'{"x": [-1, -1, -1]}\n{"x": [1, 2, 3]}\n')
        assert job.duties == ["refer-below:1.0:y"]
        first, second = result(compute(job))
        assert (first.get("refer"), second.get("refer")) == (True, None)
        assert first["outputs"], "the answer is there, and marked"

    def test_a_job_whose_unsure_answers_are_withheld_is_refused(self, admin, endpoint):
        self.rule(admin, endpoint, 1.0, withhold=True)
        with pytest.raises(ObligationUnmet, match="waits for a person"):
            start(admin, rows(1))

    def test_a_job_with_single_answers_to_confirm_is_refused_and_told_what_to_do(self, admin, endpoint):
        steps.bind(admin.tenant_id, self.version(endpoint))
        self.approve([{"kind": "person_confirms_above", "value": 100}])
        assert start(admin, rows(1), use=Use("", 100)).state == "queued"
        with pytest.raises(ObligationUnmet, match="every single answer") as refused:
            start(admin, rows(1), use=Use("", 101))
        assert "one by one" in str(refused.value.hint)

    def test_an_approval_that_ended_meanwhile_stops_the_next_shard(self, admin, endpoint, monkeypatch):
        monkeypatch.setattr(settings, "BATCH_SHARD_ROWS", 2)
        steps.bind(admin.tenant_id, self.version(endpoint))
        officer = self.approve([])
        job = start(admin, rows(4))
        with tenant_context(job.tenant_id):
            planning.plan(job.id)
            with transaction.atomic():
                first, second = BatchShard.objects.filter(job=job).values_list("id", flat=True)
            worker.run_shard(first)
        with platform_scope():
            void_approvals(principal=officer, subject=steps.subject(), reason="A grave fault.")
        with tenant_context(job.tenant_id):
            worker.run_shard(second)
            with transaction.atomic():
                job.refresh_from_db()
        assert job.state == "failed"
        assert "ethics approval" in job.error

    def version(self, endpoint):
        with tenant_context(endpoint.tenant_id), transaction.atomic():
            arm = endpoint_snapshot(endpoint.tenant_id, endpoint.name).arms[0]
        return ObjectRef("registry.modelversion", str(arm.version_id), arm.sha256, "adder")

    @pytest.fixture(autouse=True)
    def people(self, principal_for, partner_org, platform):
        self.partner = principal_for(partner_org, Role.PARTNER)
        self.officer = principal_for(platform, Role.ETHICS_OFFICER)

    def approve(self, conditions):
        steps.decide(self.officer, steps.ask(self.partner), conditions=conditions)
        return self.officer
