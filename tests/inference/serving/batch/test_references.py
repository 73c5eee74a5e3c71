"""A version's training reference from a batch job's rows: each format, datasets, replacement, and what is refused."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from governance.audit.models import AuditEntry
from governance.data.erasing import request_erasure, run_erasure
from governance.data.models import Asset
from governance.errors import AccessDenied, Conflict, NotFound
from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope, tenant_context
from inference.registry.models import TrainingReference
from inference.registry.services import erase_version
from inference.rollouts.analysis.profiles import Profile
from inference.serving.batch import files, referencing
from inference.serving.models import BatchJob
from tests.inference.serving.batch.jobs import compute, hold, rows, start
from tests.inference.serving.batch.test_from_datasets import registered
from tests.inference.serving.batch.test_from_datasets import start as start_on

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def make(principal, job):
    with tenant_context(job.tenant_id):
        referencing.make_reference(principal=principal, job_id=job.id)


def build(job):
    """What the worker does, in this process."""
    with tenant_context(job.tenant_id):
        referencing.build(job.id)
    return reference_of(job)


def reference_of(job):
    with tenant_context(job.tenant_id), transaction.atomic():
        return TrainingReference.objects.filter(model_version_id=job.model_version_id).first()


def made(principal, job):
    make(principal, job)
    return build(job)


def csv(count):
    return b"a,b,c\n" + b"".join(b"%d,0,0\n" % n for n in range(count))


def parquet(count):
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    columns = {"a": [float(n) for n in range(count)], "b": [0.0] * count, "c": [0.0] * count}
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "content"), [("rows.jsonl", rows), ("rows.csv", csv), ("rows.parquet", parquet)]
)
def test_every_format_that_jobs_read_makes_a_reference(admin, endpoint, name, content):
    job = compute(start(admin, content(400), filename=name))
    make(admin, job)
    assert (reference_of(job).state, reference_of(job).revision) == ("building", None)
    reference = build(job)
    assert (reference.state, reference.error, reference.row_count) == ("ready", "", 400)
    profile = Profile.from_json(reference.profile)
    assert [feature.name for feature in profile.features] == ["x[0]", "x[1]", "x[2]"]
    assert [sum(feature.reference.counts) for feature in profile.features] == [200] * 3
    assert len(profile.features[0].reference.counts) == 10
    assert profile.predictions is None, "the adder says no classes"


def test_of_many_rows_some_are_counted_evenly_over_the_file(admin, endpoint, monkeypatch):
    monkeypatch.setattr(referencing, "MAX_ROWS", 250)
    for name, content in (("rows.jsonl", rows(1000)), ("rows.parquet", parquet(1000))):
        reference = made(admin, compute(start(admin, content, filename=name)))
        assert 200 <= reference.row_count <= 250 + 2 * referencing.STEP_ROWS
        edges = Profile.from_json(reference.profile).features[0].reference.edges
        assert edges[-1] > 700, "the file's end is in it"


def test_a_dataset_gives_its_limits_and_its_erasure_takes_the_reference_along(admin, endpoint, org):
    dataset = registered(admin, rows(300), label="confidential", subjects=["personal"])
    job = compute(start_on(admin, dataset))
    assert made(admin, job).state == "ready"
    with tenant_context(org.id), transaction.atomic():
        asset = Asset.objects.get(type="registry.trainingreference")
        assert (asset.label, asset.subjects) == ("confidential", ["personal"])
        erasure = request_erasure(
            principal=admin, kind="asset", reference=str(dataset.asset_id), reason="asked for"
        )
    with tenant_context(org.id):
        run_erasure(erasure.id)
    assert reference_of(job) is None


def test_an_erased_version_keeps_none(admin, endpoint, org):
    job = compute(start(admin, rows(300)))
    assert made(admin, job).state == "ready"
    with tenant_context(org.id):
        erase_version(principal=SYSTEM, version_id=job.model_version_id, reason="asked for")
    assert reference_of(job) is None


def test_a_new_one_replaces_the_old_at_its_end_and_both_are_audited(admin, endpoint, org):
    first = compute(start(admin, rows(300)))
    before = made(admin, first)
    second = compute(start(admin, rows(500)))
    make(admin, second)
    make(admin, second)  # asked for twice, it is one
    assert (reference_of(second).state, reference_of(second).revision) == ("building", before.revision)
    with pytest.raises(Conflict, match="wait for its end"):
        make(admin, first)
    build(first)  # an old message
    assert reference_of(second).state == "building"
    after = build(second)
    assert (after.row_count, after.revision != before.revision, after.id) == (500, True, before.id)
    build(second)
    assert reference_of(second).revision == after.revision
    with tenant_context(org.id), transaction.atomic():
        kept = AuditEntry.objects.filter(action__startswith="registry.version.reference")
        assert (
            sorted(kept.values_list("action", flat=True))
            == ["registry.version.reference"] * 2 + ["registry.version.reference_made"] * 2
        )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (rows(150), "at least 200 rows; there are 150"),
        (rows(210) + b'{"x": [1, 2]}\n' + rows(5), "Row 211 (line 211)"),
        (rows(210) + b'{"y": [1, 2, 3]}\n', 'unknown input "y"'),
        (rows(210) + b'{"x": [1, NaN, 3]}\n', "Row 211 (line 211)"),
    ],
)
def test_rows_that_make_no_reference_say_which_and_the_one_before_stays(admin, endpoint, content, said):
    before = made(admin, compute(start(admin, rows(300))))
    after = made(admin, compute(start(admin, content)))
    assert after.state == "failed"
    assert said in after.error
    assert (after.revision, after.row_count) == (before.revision, 300)


def test_what_cannot_be_begun_is_refused(admin, endpoint, org, principal_for):
    job = start(admin, rows(300))
    with pytest.raises(Conflict, match="queued"):
        make(admin, job)
    job = compute(job)
    with pytest.raises(AccessDenied):
        make(principal_for(org, Role.DEVELOPER), job)
    files.input_path(job).delete()
    with pytest.raises(NotFound, match="not kept any more"):
        make(admin, job)
    job = compute(start(admin, rows(300)))
    hold(job)
    with pytest.raises(Conflict, match="held back"):
        make(admin, job)
    assert reference_of(job) is None


def test_a_version_that_is_held_meanwhile_computes_nothing(admin, endpoint):
    job = compute(start(admin, rows(300)))
    make(admin, job)
    hold(job)
    assert (build(job).state, "taken out of service" in reference_of(job).error) == ("failed", True)


def test_a_lost_message_is_sent_again_and_what_ends_its_worker_is_given_up(admin, endpoint, monkeypatch):
    sent = []
    job = compute(start(admin, rows(300)))
    make(admin, job)
    monkeypatch.setattr(referencing, "send", lambda name, job, **given: sent.append((name, given["job_id"])))
    assert referencing.resume_abandoned() == 0
    with platform_scope(), transaction.atomic():
        TrainingReference.objects.update(sent_at=timezone.now() - timedelta(hours=1), attempts=3)
    assert (referencing.resume_abandoned(), sent) == (1, [("batch.build_reference", job.id)])
    assert (build(job).state, "after 3 attempts" in reference_of(job).error) == ("failed", True)


def test_without_its_job_it_is_not_waited_for(admin, endpoint):
    job = compute(start(admin, rows(300)))
    make(admin, job)
    with platform_scope(), transaction.atomic():
        BatchJob.objects.filter(pk=job.id).delete()
        TrainingReference.objects.update(sent_at=timezone.now() - timedelta(hours=1))
    assert referencing.resume_abandoned() == 1
    assert (reference_of(job).state, "not kept" in reference_of(job).error) == ("failed", True)


def test_who_may_have_it_made_no_longer_ends_it(admin, endpoint):
    job = compute(start(admin, rows(300)))
    make(admin, job)
    with tenant_context(job.tenant_id):
        referencing.end_revoked("the right is gone", job_id=str(job.id))
    assert (reference_of(job).state, reference_of(job).error) == ("failed", "the right is gone")


def test_the_api_and_the_page_have_it_made(admin, endpoint, org, member):
    job = compute(start(admin, rows(300)))
    browser = Client()
    browser.force_login(member(org, Role.DATA_SCIENTIST), backend="django.contrib.auth.backends.ModelBackend")
    page = f"/console/batch/{job.id}/"
    assert f"{page}reference/" in browser.get(page).content.decode()
    assert browser.post(f"{page}reference/").status_code == 302
    answer = browser.post(f"/api/v1/batch-jobs/{job.id}/reference/")
    assert (answer.status_code, json.loads(answer.content)["state"]) == (202, "building")
    assert "being made" in browser.get(page).content.decode()
    build(job)
    assert "300 rows counted" in browser.get(page).content.decode()
