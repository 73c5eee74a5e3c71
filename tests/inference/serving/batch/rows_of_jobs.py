"""A batch job's row as it is now, and as a test makes it."""

from __future__ import annotations

from django.db import transaction

from governance.tenants.context import tenant_context
from inference.serving.models import BatchJob


def now(job):
    with tenant_context(job.tenant_id), transaction.atomic():
        return BatchJob.objects.get(pk=job.pk)


def change(job, **values):
    with tenant_context(job.tenant_id), transaction.atomic():
        BatchJob.objects.filter(pk=job.pk).update(**values)
