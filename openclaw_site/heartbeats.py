"""Which Celery workers are alive: each writes a few words about itself into Valkey every few seconds.

Celery's own `inspect` broadcasts and waits a second or more for answers; a page must not. A worker that has not
written for `STALE_S` counts as gone.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import Any

import redis
from celery.signals import celeryd_after_setup, heartbeat_sent, worker_shutdown
from django.conf import settings

KEY = "openclaw:workers"
STALE_S = 20.0
EVERY_S = 4.0

_worker: Any = None
_last_s = 0.0


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker as it last described itself. `seen_s` is how many seconds ago that was."""

    name: str
    queues: tuple[str, ...]
    processes: int
    active: int
    pid: int
    seen_s: float

    @property
    def alive(self) -> bool:
        return self.seen_s < STALE_S


def client() -> redis.Redis:
    """A connection to the broker's own database, where the queues are lists."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)


def worker_states() -> list[WorkerState]:
    """Every worker that wrote within the last hour, by name; forgets older ones. Raises redis.RedisError."""
    now = time.time()
    found = []
    with client() as connection:
        rows: dict[bytes, bytes] = connection.hgetall(KEY)
        for name, raw in rows.items():
            said = json.loads(raw)
            if now - said["at"] > 3600:
                connection.hdel(KEY, name.decode())
                continue
            found.append(
                WorkerState(
                    name=name.decode(),
                    queues=tuple(said["queues"]),
                    processes=said["processes"],
                    active=said["active"],
                    pid=said["pid"],
                    seen_s=max(0.0, now - said["at"]),
                )
            )
    return sorted(found, key=lambda worker: worker.name)


def queue_depths() -> dict[str, int]:
    """Messages that wait in each queue, not counting those a worker already holds. Raises redis.RedisError."""
    with client() as connection:
        pipe = connection.pipeline(transaction=False)
        for name in settings.CELERY_TASK_QUEUES_NAMES:
            pipe.llen(name)
        return dict(zip(settings.CELERY_TASK_QUEUES_NAMES, pipe.execute(), strict=True))


@celeryd_after_setup.connect
def remember_worker(sender: str, instance: Any, **kwargs: object) -> None:
    """Keep hold of this process's worker, which knows its queues and its size."""
    global _worker
    _worker = instance


@heartbeat_sent.connect
def write_heartbeat(**kwargs: object) -> None:
    """Celery beats every two seconds; write every other time. A lost write is made good by the next."""
    global _last_s
    now = time.time()
    if _worker is None or now - _last_s < EVERY_S - 0.5:
        return
    _last_s = now
    from celery.worker import state

    said = {
        "at": now,
        "queues": sorted(_worker.app.amqp.queues.consume_from),
        "processes": _worker.concurrency,
        "active": len(state.active_requests),
        "pid": os.getpid(),
    }
    try:
        with client() as connection:
            connection.hset(KEY, _worker.hostname, json.dumps(said))
    except redis.RedisError:
        _last_s = 0.0


@worker_shutdown.connect
def take_heartbeat_back(**kwargs: object) -> None:
    """A worker that stops in order is gone at once, not only after it has been silent."""
    if _worker is not None:
        try:
            with client() as connection:
                connection.hdel(KEY, _worker.hostname)
        except redis.RedisError:
            return
