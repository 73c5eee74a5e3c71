"""Answers that a process remembers until an announcement makes them doubtful."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from django.db import connection
from psycopg import pq

from governance.access.hub import EVERYTHING, Hub, hub

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class HeardCache(Generic[K, V]):
    """Bounded, least recently used out first; forgets everything when one of `topics` is announced.

    An answer is believed for `hub.max_age_s`, `max_age_s` at most, and never after `ends(answer)` (seconds since the
    epoch), where it ends by itself. What was being loaded while an announcement came is
    handed out once and not kept; neither is what a transaction read that has written something, for it may yet be
    rolled back.
    """

    def __init__(
        self,
        *topics: str,
        max_entries: int = 10_000,
        max_age_s: float = float("inf"),
        hub: Hub = hub,
        clock: Callable[[], float] = time.monotonic,
        ends: Callable[[V], float] | None = None,
    ) -> None:
        self._topics = frozenset({*topics, EVERYTHING})
        self._max_entries = max_entries
        self._max_age_s = max_age_s
        self._hub = hub
        self._clock = clock
        self._ends = ends
        self._lock = threading.Lock()
        self._entries: OrderedDict[K, tuple[V, float]] = OrderedDict()
        self._generation = 0
        hub.subscribe_cache(self._heard)

    def get(self, key: K, load: Callable[[], V]) -> V:
        """The remembered answer, or a new one from `load`."""
        now = self._clock()
        with self._lock:
            known = self._entries.get(key)
            if known is not None and self._good(*known, now):
                self._entries.move_to_end(key)
                return known[0]
            generation = self._generation
        value = load()
        if not _has_written():
            with self._lock:
                if generation == self._generation and not self._hub.forgetting:
                    self._entries[key] = value, now
                    self._entries.move_to_end(key)
                    if len(self._entries) > self._max_entries:
                        self._entries.popitem(last=False)
        return value

    def _good(self, value: V, read_at: float, now: float) -> bool:
        if now - read_at >= min(self._hub.max_age_s, self._max_age_s):
            return False
        return self._ends is None or time.time() < self._ends(value)

    def forget(self) -> None:
        """Believe nothing any more, nor what is being loaded now."""
        with self._lock:
            self._generation += 1
            self._entries.clear()

    def _heard(self, topic: str, key: str) -> None:
        if topic in self._topics:
            self.forget()


def _has_written() -> bool:
    """Whether the thread's open transaction has changed anything, or has failed and cannot say."""
    if not connection.in_atomic_block:
        return False
    raw = connection.connection
    if raw is None or raw.info.transaction_status == pq.TransactionStatus.INERROR:
        return True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
        return bool(cursor.fetchone()[0])
