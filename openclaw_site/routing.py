"""WebSocket routes."""

from __future__ import annotations

from typing import Any

from django.urls import path

from inference.serving.batch.consumers import BatchJobConsumer
from marketplace.review.consumers import SubmissionConsumer

websocket_urlpatterns: list[Any] = [
    path("ws/batch-jobs/<uuid:job_id>/", BatchJobConsumer.as_asgi()),
    path("ws/submissions/<uuid:submission_id>/", SubmissionConsumer.as_asgi()),
]
