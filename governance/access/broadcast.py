"""Telling every process that something it may have cached has changed: PostgreSQL NOTIFY.

NOTIFY is part of the transaction, so a change and its announcement are both kept or both lost, and raw SQL is covered
too where a trigger announces. Listeners that lose their connection keep cached answers for one second at most.
"""

from __future__ import annotations

from django.db import connection

CHANNEL = "openclaw"

TOPICS = frozenset({"token", "application", "membership", "grant", "tenant", "endpoint", "policy"})


def announce(topic: str, key: str) -> None:
    """Announce a change at commit. The payload is `topic:key`."""
    if topic not in TOPICS:
        raise ValueError(f"unknown topic {topic}")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{topic}:{key}"))
