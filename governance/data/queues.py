"""How long a queue is, asked of the broker that Celery itself uses."""

from __future__ import annotations

import time
from typing import Any

from celery import current_app
from kombu.exceptions import OperationalError

FRESH_S = 1.0

_seen: dict[str, tuple[int, float]] = {}


def queue_length(queue: str, *, fresh_s: float = FRESH_S) -> int:
    """Messages that wait in a queue, at most `fresh_s` old; 0 when the broker does not answer: then nothing moves."""
    known = _seen.get(queue)
    now = time.monotonic()
    if known is not None and now - known[1] < fresh_s:
        return known[0]
    connection = current_app.connection_for_write()
    gone: tuple[type[BaseException], ...] = (
        OperationalError,
        OSError,
        *connection.connection_errors,
        *connection.channel_errors,
    )
    try:
        with connection:
            channel: Any = connection.default_channel
            client = getattr(channel, "client", None)
            # Redis and Valkey keep a queue as a list; RabbitMQ counts for itself.
            length = (
                client.llen(queue)
                if client is not None
                else channel.queue_declare(queue=queue, passive=True).message_count
            )
    except gone:
        length = 0
    _seen[queue] = int(length), now
    return int(length)
