"""Telling every process that something it may have cached has changed: PostgreSQL NOTIFY.

NOTIFY is part of the transaction, so a change and its announcement are both kept or both lost, and raw SQL is covered
too where a trigger announces. Every process hears through `governance.access.hub`, by one connection.
"""

from __future__ import annotations

from django.db import connection

CHANNEL = "openclaw"

TOPICS = frozenset(
    {
        "token",  # an access token, by the SHA-256 of it
        "application",
        "membership",  # of a user, or the user was enabled or disabled; by the user's id
        "grant",  # of a user, by the user's id
        "tenant",
        "endpoint",
        "policy",  # by the tenant's id; empty for the platform's
        "session",  # a person's session ended, by the SHA-256 of its key or the first 40 digits of it
        "user",  # what is known of a user's identity changed: factors, devices; by the user's id
        "stop",  # a stop button, by the id of what is stopped
        "asset",  # labels and facts, by the object's id
        "plugin",  # a plugin version was blocked, held or released, by its id
        "event",  # a security event arrived, by its id
        "key",  # a tenant's keys were rotated or destroyed, by the tenant's id
    }
)


def announce(topic: str, key: str) -> None:
    """Announce a change at commit. The payload is `topic:key`."""
    if topic not in TOPICS:
        raise ValueError(f"unknown topic {topic}")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{topic}:{key}"))
