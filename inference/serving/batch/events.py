"""Telling those who watch a batch job how far it is."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from django.db.models import Count, Q, Sum

from inference.serving.models import BatchJob, BatchShard

PROGRESS = "batch.progress"


def group(job_id: UUID | str) -> str:
    """The channel group of a job's watchers."""
    return f"batch.{job_id}"


def progress(job: BatchJob) -> dict[str, Any]:
    """How far a job is, as plain JSON. One query."""
    figures = BatchShard.objects.filter(job=job).aggregate(
        rows_done=Sum("rows_done", default=0),
        rows_bad=Sum("rows_bad", default=0),
        shards=Count("id"),
        shards_done=Count("id", filter=Q(state=BatchShard.State.DONE)),
    )
    return {
        "id": str(job.id),
        "state": str(job.state),
        "row_count": job.row_count,
        "error": job.error,
        "finished": job.finished_at is not None,
        **figures,
    }


def publish(job: BatchJob) -> None:
    """Send the progress when the transaction commits. That nobody can be told fails no job (`robust`)."""
    event = {"type": PROGRESS, "job": progress(job)}
    transaction.on_commit(lambda: _send(job.id, event), robust=True)


def _send(job_id: UUID, event: dict[str, Any]) -> None:
    if (layer := get_channel_layer()) is not None:
        async_to_sync(layer.group_send)(group(job_id), event)
