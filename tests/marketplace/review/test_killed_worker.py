"""A real Celery worker is killed in the middle of the checks: nothing is lost, and the next one concludes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from django.db import transaction
from django.utils import timezone

from governance.tenants.context import platform_scope
from marketplace.review import checking
from marketplace.review.models import CheckRun, Submission
from tests.factories.marketplace import package, upload
from tests.factories.packages import endless_model

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]
DEADLINE_S = 120


@contextmanager
def worker(services, tmp_path, name):
    """A worker of the checks' queue in a process group of its own."""
    command = [
        sys.executable, "-m", "celery", "-A", "openclaw_site.celery", "worker", "--queues=checks",
        "--concurrency=2", f"--hostname={name}@%h", "--without-gossip", "--without-mingle", "--loglevel=INFO",
    ]  # fmt: skip
    with (tmp_path / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=os.environ | services.environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(condition, what, log):
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen; the worker said:\n{log.read_text()[-3000:]}")


def test_a_killed_worker_loses_nothing(partner, services, tmp_path):
    # The dry run of a graph without end takes its full thirty seconds: time enough to be killed in.
    submission = upload(partner, package(files={"models/model.onnx": endless_model()}))

    def runs(**which):
        with platform_scope(), transaction.atomic():
            return list(CheckRun.objects.filter(submission=submission, **which))

    with worker(services, tmp_path, "first") as process:
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

    with worker(services, tmp_path, "second"):
        wait_for(lambda: state() == "checks_failed", "the end", tmp_path / "second.log")
    after = {run.name: run for run in runs()}
    assert after["model-dry-run"].attempts == 2
    assert after["model-dry-run"].status == "REJECTED"
    assert all(after[name].attempts == 1 and after[name].finished_at == at for name, at in finished.items())
