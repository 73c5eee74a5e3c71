"""Who plans or joins a job: a lease while a worker is at it, and an end after so many attempts that came to nothing.

A message that comes twice begins nothing twice. What ends its worker, or fails in a way that may pass, is tried again
when the lease is over; after the last attempt the job fails and says why.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from governance.tenants.checkpoints import Revoked
from inference.serving.batch.ending import fail, lock_job
from inference.serving.models import BatchJob

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
Job = BatchJob.State


@dataclass(frozen=True, slots=True)
class Step:
    """A step that one worker takes for a whole job: in which state of it, and which fields say who is at it."""

    state: str
    attempts: str
    until: str
    what: str
    wanted: str

    def given_up(self, why: str) -> str:
        return f"{self.what} was given up after {MAX_ATTEMPTS} attempts to {self.wanted}: {why}"


PLANNING = Step(Job.QUEUED, "plan_attempts", "planned_until", "The file", "read it")
JOINING = Step(Job.RUNNING, "join_attempts", "joined_until", "The result", "join its parts")


def claim(job_id: UUID, step: Step) -> BatchJob | None:
    """The job, if it waits for the step and nobody is at it. What ended every worker so far, fails here."""
    with transaction.atomic():
        job, now = lock_job(job_id), timezone.now()
        if job is None or job.state != step.state:
            return None
        until = getattr(job, step.until)
        if until is not None and until > now:
            return None
        if getattr(job, step.attempts) >= MAX_ATTEMPTS:
            why = "each ended its worker, so something in it may be more than a worker can hold."
            fail(job, step.given_up(why))
            return None
        _set(
            job,
            sent_at=now,
            **{
                step.attempts: getattr(job, step.attempts) + 1,
                step.until: now + timedelta(seconds=settings.BATCH_LEASE_S),
            },
        )
    return job


class Alive:
    """Called while a step lasts: the job is not taken for abandoned, and nobody else begins with it."""

    def __init__(self, job_id: UUID, step: Step) -> None:
        self._job_id, self._step = job_id, step
        self._said = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._said < settings.BATCH_RENEW_S:
            return
        self._said = time.monotonic()
        now = timezone.now()
        lease = {self._step.until: now + timedelta(seconds=settings.BATCH_LEASE_S)}
        with transaction.atomic():
            BatchJob.objects.filter(pk=self._job_id, state=self._step.state).update(sent_at=now, **lease)


@contextmanager
def counted(job_id: UUID, step: Step) -> Iterator[None]:
    """Whatever fails in here was an attempt: the next one may begin. After the last the job ends with the error.

    The error is raised on, for the worker's log.
    """
    try:
        yield
    except Revoked:
        raise
    except Exception as error:
        why = str(error) or type(error).__name__
        log.warning("batch job %s: an attempt to %s failed: %s", job_id, step.wanted, why)
        with transaction.atomic():
            job = lock_job(job_id)
            if job is not None and job.state == step.state:
                if getattr(job, step.attempts) >= MAX_ATTEMPTS:
                    fail(job, step.given_up(why))
                else:
                    _set(job, **{step.until: None})
        raise


def put_off(job_id: UUID, step: Step) -> None:
    """What the step needs is out of reach for now: it is sent again later, and the attempt does not count."""
    with transaction.atomic():
        job = lock_job(job_id)
        if job is not None and job.finished_at is None:
            let_go(job, step)


def let_go(job: BatchJob, step: Step) -> None:
    """The attempt at a locked job's step does not count, and another may begin at once."""
    _set(job, **{step.attempts: max(getattr(job, step.attempts) - 1, 0), step.until: None})


def _set(job: BatchJob, **values: Any) -> None:
    for name, value in values.items():
        setattr(job, name, value)
    job.save(update_fields=list(values))
