"""Telling open pages that a submission has changed: they then read it anew with their own rights."""

from __future__ import annotations

import logging
from functools import partial
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

logger = logging.getLogger(__name__)


def group_of(submission_id: UUID | str) -> str:
    """The channel layer's group of everybody who looks at the submission."""
    return f"submission.{submission_id}"


def announce_change(submission_id: UUID) -> None:
    """After commit, wake every socket that follows the submission."""
    transaction.on_commit(partial(_send, submission_id), robust=True)


def _send(submission_id: UUID) -> None:
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(group_of(submission_id), {"type": "submission.changed"})
    except (OSError, RuntimeError) as error:
        # Live pages are a comfort; the change itself is committed and must not look failed.
        logger.warning("no live update for submission %s: %s", submission_id, error)
