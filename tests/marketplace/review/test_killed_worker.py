"""A real Celery worker is killed in the middle of the checks: nothing is lost, and the next one concludes."""

from __future__ import annotations

import os
import signal

import pytest
from django.db import transaction
from django.utils import timezone

from governance.tenants.context import platform_scope
from marketplace.review import checking
from marketplace.review.models import CheckRun, Submission
from tests.factories.marketplace import package, upload
from tests.factories.packages import endless_model
from tests.workers import wait_for, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def test_a_killed_worker_loses_nothing(partner, services, tmp_path):
    # The dry run of a graph without end takes its full thirty seconds: time enough to be killed in.
    submission = upload(partner, package(files={"models/model.onnx": endless_model()}))

    def runs(**which):
        with platform_scope(), transaction.atomic():
            return list(CheckRun.objects.filter(submission=submission, **which))

    with worker(services, tmp_path, "first", queue="checks") as process:
        log = tmp_path / "first.log"
        wait_for(
            lambda: runs(state="running", name="model-dry-run") and len(runs(state="done")) >= 7, "work", log
        )
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert [run.name for run in runs(state="running")] == ["model-dry-run"]
    finished = {run.name: run.finished_at for run in runs(state="done")}
    with platform_scope(), transaction.atomic():  # five minutes later
        CheckRun.objects.filter(state="running").update(lease_until=timezone.now())

    def state():
        checking.resume_stalled()  # what the beat does every five seconds
        with platform_scope(), transaction.atomic():
            return Submission.objects.get(pk=submission.pk).state

    with worker(services, tmp_path, "second", queue="checks"):
        wait_for(lambda: state() == "checks_failed", "the end", tmp_path / "second.log")
    after = {run.name: run for run in runs()}
    assert after["model-dry-run"].attempts == 2
    assert after["model-dry-run"].status == "REJECTED"
    assert all(after[name].attempts == 1 and after[name].finished_at == at for name, at in finished.items())
