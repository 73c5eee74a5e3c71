"""How long the files of batch jobs are kept."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.audit.services import record
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from inference.serving.batch.cataloguing import mark_dropped
from inference.serving.batch.ending import record_end
from inference.serving.batch.files import remove_job
from inference.serving.batch.services import end_job
from inference.serving.models import BatchJob

MAX_DROPPED = 500


def drop_old_jobs() -> int:
    """Delete finished jobs past `BATCH_RETENTION_DAYS` with their uploads and results; returns how many went.

    A job that stayed paused for so long is cancelled first: its upload is not kept for ever, either.

    The audit log keeps what was done. A folder whose row is gone already is found by nobody, so the row goes last.
    """
    before = timezone.now() - timedelta(days=settings.BATCH_RETENTION_DAYS)
    with platform_scope(), transaction.atomic():
        rows = BatchJob.objects.select_for_update(of=("self",), skip_locked=True)
        for job in rows.filter(state=BatchJob.State.PAUSED, paused_at__lt=before)[:MAX_DROPPED]:
            end_job(job, BatchJob.State.CANCELLED, error=_("Nobody resumed it in time."))
            record_end(job, "serving.batch.cancel", "paused past its retention")
            BatchJob.objects.filter(pk=job.pk).update(finished_at=job.paused_at)
        jobs = list(rows.filter(finished_at__lt=before).order_by("finished_at")[:MAX_DROPPED])
        for job in jobs:
            remove_job(job.tenant_id, job.id)
            record(
                principal=SYSTEM,
                action="serving.batch.drop",
                target=ObjectRef.of(job, digest=job.input_sha256),
                tenant_id=job.tenant_id,
                reason="past its retention",
            )
            mark_dropped(job)
            job.delete()
    return len(jobs)
