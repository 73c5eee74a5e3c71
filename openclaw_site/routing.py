"""WebSocket routes."""

from __future__ import annotations

from typing import Any

from django.urls import path

from inference.serving.batch.consumers import BatchJobConsumer
from marketplace.review.consumers import SubmissionConsumer

# Channels takes ASGI applications where Django's `path` is typed for views.
_batch_job: Any = BatchJobConsumer.as_asgi()
_submission: Any = SubmissionConsumer.as_asgi()

websocket_urlpatterns = [
    path("ws/batch-jobs/<uuid:job_id>/", _batch_job),
    path("ws/submissions/<uuid:submission_id>/", _submission),
]
