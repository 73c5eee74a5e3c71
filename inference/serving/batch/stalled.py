"""Taking over from workers that died and messages that were lost."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from governance.tenants.context import platform_scope, tenant_context
from inference.serving.batch.ending import sent
from inference.serving.batch.progress import release
from inference.serving.batch.referencing import resume_abandoned
from inference.serving.models import BatchJob, BatchShard

MAX_RESUMED = 500
Job = BatchJob.State
Shard = BatchShard.State


def resume_stalled() -> int:
    """Send again what nobody works on: leases that ran out, and messages that must have been lost. Returns how many."""
    references = resume_abandoned()
    now = timezone.now()
    lease = timedelta(seconds=settings.BATCH_LEASE_S)
    with platform_scope(), transaction.atomic():
        live = BatchShard.objects.filter(job=OuterRef("job"), state=Shard.RUNNING, lease_until__gt=now)
        open_shards = BatchShard.objects.select_for_update(of=("self",), skip_locked=True).filter(
            job__state=Job.RUNNING
        )
        lapsed = list(open_shards.filter(state=Shard.RUNNING, lease_until__lte=now)[:MAX_RESUMED])
        for shard in lapsed:
            release(shard)
        # A shard may wait long behind others; only a job that nobody works on is suspected, ever more rarely.
        waiting = [
            shard
            for shard in open_shards.filter(~Exists(live), state=Shard.WAITING, sent_at__lte=now - lease)[
                :MAX_RESUMED
            ]
            if shard.sent_at <= now - lease * 2 ** min(shard.sent_count - 1, 8)
        ]
        for shard in {shard.id: shard for shard in (*lapsed, *waiting)}.values():
            _send_again(shard)
        stalled = BatchJob.objects.select_for_update(skip_locked=True).filter(sent_at__lte=now - 2 * lease)
        unfinished = BatchShard.objects.filter(job=OuterRef("pk")).exclude(state=Shard.DONE)
        unplanned = list(stalled.filter(state=Job.QUEUED)[:MAX_RESUMED])
        unjoined = list(stalled.filter(~Exists(unfinished), state=Job.RUNNING)[:MAX_RESUMED])
        for name, jobs in (("batch.plan", unplanned), ("batch.join", unjoined)):
            for job in jobs:
                BatchJob.objects.filter(pk=job.pk).update(sent_at=now)
                with tenant_context(job.tenant_id):
                    sent(name, job, job_id=job.id)
        return references + len(lapsed) + len(waiting) + len(unplanned) + len(unjoined)


def _send_again(shard: BatchShard) -> None:
    BatchShard.objects.filter(pk=shard.pk).update(sent_at=timezone.now(), sent_count=F("sent_count") + 1)
    with tenant_context(shard.tenant_id):
        sent("batch.run_shard", shard.job, shard_id=shard.id)
