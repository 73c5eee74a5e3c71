"""Which files of batch jobs a row answers for: an upload whose request was killed has none, and goes a day later."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

from governance.keys import sweeping
from governance.keys.sweeping import SweptFiles
from inference.serving.batch.files import STORAGE
from inference.serving.models import BatchJob

NAME = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.+")


def register_sweep() -> None:
    """Include the files of jobs in every sweep."""
    sweeping.register(SweptFiles("serving.batch-files", STORAGE, NAME, _answered_for))


def _answered_for(tenant_id: UUID, names: Sequence[str]) -> set[str]:
    """Of the names those in the folder of a job that is there: within it, the job itself tidies."""
    jobs = {name.partition("/")[0] for name in names}
    known = BatchJob.objects.filter(tenant_id=tenant_id, pk__in=jobs).values_list("pk", flat=True)
    there = {str(pk) for pk in known}
    return {name for name in names if name.partition("/")[0] in there}
