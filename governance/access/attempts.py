"""Failed attempts to sign in, counted per account in Valkey: the time of each, the latest few, for some hours.

Whoever guesses at an account makes its sessions less certain until the factor is proven again. Without Valkey nothing
is counted and none are known, which readiness tells as `valkey`; django-axes' lock stands beside this.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import redis
from django.conf import settings
from django.contrib.auth.signals import user_login_failed
from django.dispatch import receiver
from django.utils.crypto import salted_hmac

log = logging.getLogger(__name__)

KEPT = 10
KEPT_S = 8 * 3600
ANSWER_S = 0.5
# After a failure Valkey is left alone for so long: a page must not wait for it again and again.
LEAVE_ALONE_S = 1.0

_away_until = 0.0


def note_failure(username: str) -> None:
    """Remember that somebody failed to sign in as `username`, just now."""
    key = _key(username)
    try:
        with _client().pipeline(transaction=True) as pipe:
            pipe.lpush(key, repr(time.time()))
            pipe.ltrim(key, 0, KEPT - 1)
            pipe.expire(key, KEPT_S)
            pipe.execute()
    except redis.RedisError as error:
        log.warning("a failed attempt to sign in is not counted: %s", error)


def failures_since(username: str, since: float) -> int:
    """How many attempts failed after `since` (seconds since the epoch), `KEPT` at most; 0 when nobody knows."""
    global _away_until
    if not username or time.monotonic() < _away_until:
        return 0
    try:
        times: Any = _client().lrange(_key(username), 0, KEPT - 1)
    except redis.RedisError:
        _away_until = time.monotonic() + LEAVE_ALONE_S
        return 0
    return sum(1 for at in times if float(at) > since)


@receiver(user_login_failed)
def _on_failure(sender: Any, credentials: Mapping[str, Any] | None = None, **_more: Any) -> None:
    username = (credentials or {}).get("username")
    if isinstance(username, str) and username:
        note_failure(username)


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S, decode_responses=True
    )


def _key(username: str) -> str:
    digest = salted_hmac("openclaw.attempts", username.strip().lower(), algorithm="sha256").hexdigest()[:32]
    return f"openclaw:failed:{digest}"
