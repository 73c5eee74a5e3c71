"""A batch job over a registered dataset: the right to read it, its label, its lineage, and one copy of its bytes."""

from __future__ import annotations

import hashlib
import json

import pytest
from django.db import transaction
from django.test import Client

from governance.audit.models import AuditEntry
from governance.data import datasets, lineage
from governance.data.erasing import request_erasure, run_erasure
from governance.data.models import Asset
from governance.data.placement import PlacementRefused
from governance.errors import AccessDenied, Conflict, InvalidInput, NotFound, TooLarge
from governance.ethics.use import Use
from governance.ids import uuid7
from governance.principals import Role
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context
from inference.serving.batch import files, planning
from inference.serving.batch.cataloguing import INPUT, RESULT
from inference.serving.batch.services import create_batch_job
from inference.serving.models import BatchJob, BatchShard
from tests.inference.serving.batch.jobs import compute, result, rows

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def registered(principal, content=None, *, name="loans", filename="loans.jsonl", **described):
    with tenant_context(principal.tenant_id):
        return datasets.upload_dataset(
            principal=principal, name=name, filename=filename, chunks=[content or rows(3)], **described
        )


def start(principal, dataset, **more):
    with tenant_context(principal.tenant_id):
        return create_batch_job(
            principal=principal, endpoint_name="adder", dataset_id=getattr(dataset, "id", dataset), **more
        )


def asset(kind, job):
    with tenant_context(job.tenant_id), transaction.atomic():
        return Asset.objects.get(type=kind, object_id=str(job.id))


def now(job):
    with tenant_context(job.tenant_id), transaction.atomic():
        return BatchJob.objects.get(pk=job.pk)


def test_every_row_of_the_dataset_is_answered_and_its_limits_hold_for_the_result(admin, endpoint, org):
    dataset = registered(admin, label="confidential", subjects=["personal"])
    job = start(admin, dataset)
    assert (job.filename, job.format, job.input_sha256) == ("loans.jsonl", "jsonl", dataset.digest)
    assert not files.input_path(job).exists(), "a worker copies it"
    done = compute(job)
    assert (done.state, done.rows_ok, done.dataset_id, done.plan_attempts) == ("succeeded", 3, dataset.id, 1)
    assert [line["outputs"]["y"] for line in result(done)] == [[1, 1, 1], [2, 1, 1], [3, 1, 1]]
    for kind in (INPUT, RESULT):
        assert (asset(kind, done).label, asset(kind, done).subjects) == ("confidential", ["personal"])
    with tenant_context(org.id), transaction.atomic():
        origins = lineage.graph_of(asset(RESULT, done), forward=False).origins
        read = AuditEntry.objects.filter(action="data.dataset.read", target_id=str(dataset.id)).get()
    assert [(node.asset.type, node.depth) for node in origins if node.asset.object_id == str(dataset.id)] == [
        ("data.dataset", -2)
    ]
    assert (read.actor_id, read.details["label"]) == (admin.id, "confidential")


def test_a_public_dataset_stays_public_unless_more_is_said(admin, endpoint):
    dataset = registered(admin, label="public")
    assert asset(INPUT, start(admin, dataset)).label == "public"
    assert asset(INPUT, start(admin, dataset, label="restricted")).label == "restricted"


def test_what_may_be_processed_nowhere_is_refused_by_the_datasets_label(admin, endpoint, org):
    with pytest.raises(PlacementRefused) as refused:
        start(admin, registered(admin), subjects=["health"])
    assert refused.value.rule == "openclaw.health-needs-hipaa"
    with tenant_context(org.id), transaction.atomic():
        assert not BatchJob.objects.exists()


def test_without_the_right_to_read_it_nothing_begins(admin, endpoint, org, principal_for):
    dataset = registered(admin)
    developer = principal_for(org, Role.DEVELOPER)
    with pytest.raises(AccessDenied):
        start(developer, dataset)
    with tenant_context(org.id), transaction.atomic():
        assert not BatchJob.objects.exists()


def test_another_tenants_dataset_is_not_there(admin, endpoint, other_org, principal_for):
    theirs = registered(principal_for(other_org, Role.TENANT_ADMIN))
    for unknown in (theirs, uuid7()):
        with pytest.raises(NotFound, match="There is no such dataset"):
            start(admin, unknown)


def test_an_erased_dataset_is_read_no_more_and_takes_its_waiting_jobs_with_it(admin, endpoint, org):
    dataset = registered(admin)
    waiting = start(admin, dataset)
    copied = start(admin, dataset)
    with tenant_context(org.id):
        planning.plan(copied.id)
        assert files.input_path(copied).exists()
        with transaction.atomic():
            erasure = request_erasure(
                principal=admin, kind="asset", reference=str(dataset.asset_id), reason="asked for"
            )
        run_erasure(erasure.id)
    assert (now(waiting).state, now(copied).state) == ("cancelled", "cancelled")
    assert not files.input_path(copied).exists()
    with tenant_context(org.id):
        planning.plan(waiting.id)
    assert not files.input_path(waiting).exists()
    with pytest.raises(NotFound):
        start(admin, dataset)


def test_a_purpose_is_needed_where_the_data_is_kept_for_one_alone(admin, endpoint):
    dataset = registered(admin, purpose="fraud-detection")
    with pytest.raises(AccessDenied):
        start(admin, dataset, use=Use("marketing"))
    job = start(admin, dataset, use=Use("fraud-detection"))
    assert asset(RESULT, job).purpose == "fraud-detection"


def test_the_bytes_are_copied_once(admin, endpoint, org, monkeypatch):
    dataset = registered(admin)
    job = start(admin, dataset)
    with tenant_context(org.id):
        planning.fetch(now(job), lambda: None)
    datasets.remove_file(org.id, dataset.id)
    done = compute(job)
    assert (done.state, done.rows_ok, done.input_bytes) == ("succeeded", 3, len(rows(3)))


def test_a_dataset_whose_file_is_gone_fails_the_job_with_a_sentence(admin, endpoint, org):
    dataset = registered(admin)
    job = start(admin, dataset)
    datasets.remove_file(org.id, dataset.id)
    done = compute(job)
    assert done.state == "failed"
    assert "The dataset cannot be read" in done.error


def test_a_changed_file_never_counts(admin, endpoint, org):
    dataset = registered(admin)
    job = start(admin, dataset)
    datasets.remove_file(org.id, dataset.id)
    with tenant_context(org.id):
        datasets.dataset_file(org.id, dataset.id).write([rows(4)])
    done = compute(job)
    assert (done.state, "digest" in done.error) == ("failed", True)
    assert not files.input_path(done).exists()


def test_what_is_asked_wrongly_says_so(admin, endpoint, org, settings):
    with pytest.raises(InvalidInput, match="not both"):
        start(admin, registered(admin), filename="rows.jsonl", chunks=[b"1\n"])
    with pytest.raises(InvalidInput, match=r"\.jsonl"):
        start(admin, registered(admin, name="notes", filename="notes.txt"))
    settings.BATCH_UPLOAD_MAX_BYTES = 10
    with pytest.raises(TooLarge):
        start(admin, registered(admin, name="large"))


def test_one_key_is_one_job_for_a_dataset_too(admin, endpoint):
    dataset = registered(admin)
    first = start(admin, dataset, idempotency_key="night")
    assert start(admin, dataset, idempotency_key="night").id == first.id
    with pytest.raises(Conflict):
        start(admin, registered(admin, rows(2), name="others"), idempotency_key="night")


def test_the_api_and_the_page_take_a_dataset(admin, endpoint, org, member):
    dataset = registered(admin)
    browser = Client()
    browser.force_login(member(org, Role.DATA_SCIENTIST), backend="django.contrib.auth.backends.ModelBackend")
    answer = browser.post(
        "/api/v1/batch-jobs/",
        json.dumps({"endpoint": "adder", "dataset": str(dataset.id)}),
        content_type="application/json",
    )
    assert (answer.status_code, answer.json()["dataset"]) == (201, str(dataset.id))
    assert str(dataset.id) in browser.get("/console/batch/").content.decode()
    made = browser.post("/console/batch/", {"endpoint": "adder", "dataset": str(dataset.id)})
    assert made.status_code == 302
    for wrong in ({}, {"dataset": "x"}, {"dataset": str(uuid7())}):
        refused = browser.post("/console/batch/", {"endpoint": "adder"} | wrong)
        assert refused.status_code in (400, 404)
    assert browser.post("/api/v1/batch-jobs/", {"endpoint": "adder"}).status_code == 400
    with tenant_context(org.id), transaction.atomic():
        assert BatchJob.objects.filter(dataset=dataset).count() == 2
        assert not BatchShard.objects.exists()
    assert ObjectRef.of(dataset).type == datasets.TYPE
    assert dataset.digest == hashlib.sha256(rows(3)).hexdigest()
