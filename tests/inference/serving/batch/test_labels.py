"""A batch job runs where its data may be: its input's label is stated, its result's follows, a refusal ends it."""

from __future__ import annotations

import pytest
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from django.utils import timezone

from governance.audit.models import AuditEntry
from governance.data import pools, services
from governance.data.erasing import request_erasure, run_erasure
from governance.data.lineage import resolve
from governance.data.models import Asset, PlacementRecord
from governance.data.people import ERASED, pseudonym
from governance.data.placement import PlacementRefused
from governance.data.placement_log import log
from governance.errors import AccessDenied, InvalidInput
from governance.ethics.use import Use
from governance.ids import uuid7
from governance.principals import SYSTEM, Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.tasks import HEADER
from inference.registry.cataloguing import version_ref
from inference.rollouts.models import OutcomeRecord
from inference.serving.batch import files, planning
from inference.serving.batch.cataloguing import INPUT, RESULT, input_ref
from inference.serving.batch.services import create_batch_job
from inference.serving.models import BatchJob, BatchShard
from inference.serving.tasks import run_shard
from tests.factories.inference import make_endpoint, make_version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

LINES = b'{"x": [1, 2, 3]}\n{"x": [4, 5, 6]}\n'


@pytest.fixture
def admin(org, principal_for):
    log.forget()
    with tenant_context(org.id):
        yield principal_for(org, Role.TENANT_ADMIN)
    log.forget()


@pytest.fixture
def endpoint(admin):
    return make_endpoint(admin, make_version(admin, labels=["confidential"]))


def job(admin, **values):
    return create_batch_job(
        principal=admin, endpoint_name="adder", filename="rows.jsonl", chunks=[LINES], **values
    )


def asset(kind: str, of: BatchJob) -> Asset:
    return Asset.objects.get(type=kind, object_id=str(of.id))


def test_the_result_is_at_least_as_restricted_as_input_and_model(admin, endpoint):
    made = job(admin, label="internal", subjects=["personal"])
    assert (asset(INPUT, made).label, asset(INPUT, made).subjects) == ("internal", ["personal"])
    assert (asset(RESULT, made).label, asset(RESULT, made).subjects) == ("confidential", ["personal"])
    with pytest.raises(InvalidInput):
        job(admin, label="top-secret")


def test_a_job_that_may_run_nowhere_is_refused_and_leaves_nothing(admin, endpoint, org, member):
    with pytest.raises(PlacementRefused) as refused:
        job(admin, region="mars")
    assert refused.value.rule == "openclaw.data-stays-in-its-region"
    assert not BatchJob.objects.exists()
    assert storages["objects"].names(f"{org.id}/batch", after="", limit=10) == []


@pytest.mark.django_db(transaction=True)
def test_the_api_says_which_rule_refused_and_the_audit_log_keeps_it(org, member, principal_for):
    admin = principal_for(org, Role.TENANT_ADMIN)
    make_endpoint(admin, make_version(admin, labels=["internal"]))
    browser = Client()
    browser.force_login(member(org, Role.DATA_SCIENTIST), backend="django.contrib.auth.backends.ModelBackend")

    answer = browser.post(
        "/api/v1/batch-jobs/",
        {
            "endpoint": "adder",
            "file": SimpleUploadedFile("rows.jsonl", LINES),
            "label": "confidential",
            "subjects": ["health"],
        },
    )
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (409, "urn:openclaw:problem:placement-refused")
    assert problem["errors"][0]["rule"] == "openclaw.health-needs-hipaa"
    assert "confidential" in problem["detail"]
    with platform_scope(), transaction.atomic():
        entry = AuditEntry.objects.filter(action="data.work.place", decision="deny").get()
    assert "hipaa" in entry.reason


def test_a_label_that_rises_between_two_steps_ends_the_job(admin, endpoint, org):
    made = job(admin)
    services.register_asset(principal=SYSTEM, target=input_ref(made), tenant_id=org.id, subjects=["payment"])
    planning.plan(made.id)
    made.refresh_from_db()
    assert made.state == BatchJob.State.FAILED
    assert "pci-dss" in made.error


def test_a_shard_that_waits_is_not_started_any_more(admin, endpoint, org):
    made = job(admin)
    planning.plan(made.id)
    shard = BatchShard.objects.get(job=made)
    services.register_asset(principal=SYSTEM, target=input_ref(made), tenant_id=org.id, subjects=["payment"])
    header = {"tenant": str(org.id), "workload": "batch", "assets": [[INPUT, str(made.id)]]}
    run_shard.apply(kwargs={"shard_id": str(shard.id)}, headers={HEADER: header})
    made.refresh_from_db()
    assert made.state == BatchJob.State.FAILED
    assert "openclaw.payment-needs-pci-dss" in made.error


def test_placements_of_a_job_are_recorded_and_an_edge_pool_gets_its_queue(admin, endpoint, org):
    with platform_scope():
        pools.set_pool(principal=SYSTEM, name="ward", kind="edge", region="ward", certified_for=["hipaa"])
    made = job(admin, label="restricted", subjects=["health"], region="ward")
    log.flush()
    # The model has no region, so the home pool could take it; the scan's rules send all of the work to its node.
    assert PlacementRecord.objects.get(tenant=org, task="batch.plan").pool == "ward"
    assert asset(RESULT, made).region == "ward"


def test_an_erasure_of_the_input_stops_the_job_and_removes_its_files(
    admin, endpoint, django_capture_on_commit_callbacks
):
    made = job(admin)
    erasure = request_erasure(
        principal=admin, kind="asset", reference=str(asset(INPUT, made).id), reason="asked"
    )
    with django_capture_on_commit_callbacks(execute=True):
        run_erasure(erasure.id)
    made.refresh_from_db()
    assert made.state == BatchJob.State.CANCELLED
    assert not files.input_path(made).exists()
    assert asset(INPUT, made).erased_at is not None


def test_everything_about_a_caller_is_found_and_a_prediction_leads_to_its_version(
    admin, endpoint, org, django_capture_on_commit_callbacks
):
    made = job(admin)
    request = str(uuid7())
    arm = endpoint.arms.get()

    OutcomeRecord.objects.create(
        tenant=org,
        endpoint=endpoint,
        model_version=arm.model_version,
        at=timezone.now(),
        latency_us=900,
        status=200,
        rows=1,
        bytes_in=10,
        principal_id=admin.id,
        request_id=request,
    )
    trace = resolve("prediction", request, org.id)
    assert trace.target == ObjectRef.of(arm.model_version, digest=arm.model_version.sha256)
    erasure = request_erasure(principal=admin, kind="subject", reference=admin.id, reason="left us")
    with django_capture_on_commit_callbacks(execute=True):
        run_erasure(erasure.id)
    assert not OutcomeRecord.objects.filter(principal_id=admin.id).exists()
    assert set(erasure.places.values_list("type", flat=True)) >= {
        "audit.log",
        "rollouts.outcomes",
        "serving.batchjob.created_by_id",
        "tenants.user",
        INPUT,
        RESULT,
    }
    made.refresh_from_db()
    assert made.created_by_id == pseudonym(admin.id, org.id)
    assert made.created_by_label == ERASED
    assert not files.input_path(made).exists()


def test_a_job_on_restricted_data_of_one_purpose_states_it_and_what_is_uploaded_for_one_is_kept_for_it(
    admin, endpoint, org
):
    made = job(admin, use=Use("fraud"))
    assert asset(INPUT, made).purpose == asset(RESULT, made).purpose == "fraud"
    version = version_ref(made.model_version)
    services.register_asset(
        principal=SYSTEM, target=version, tenant_id=org.id, label="restricted", purpose="fraud"
    )
    with pytest.raises(PlacementRefused) as refused:
        job(admin)
    assert refused.value.rule == "openclaw.restricted-data-needs-a-stated-purpose"
    with pytest.raises(AccessDenied, match="another purpose"):
        job(admin, use=Use("credit"))
    assert job(admin, use=Use("fraud")).state == BatchJob.State.QUEUED
