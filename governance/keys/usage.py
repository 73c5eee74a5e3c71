"""Counting how often and how much each data key seals, behind the work: written now and then, so it lags a little."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from uuid import UUID

from django.db import transaction
from django.db.models import F

from governance.keys.memory import OpenKey
from governance.keys.models import DataKey
from governance.tenants.context import tenant_context

FLUSH_USES = 1000
FLUSH_S = 60.0


class Usage:
    """Counts of this process that are not yet in the database. What a process that dies had counted is lost."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[UUID, UUID], list[int]] = defaultdict(lambda: [0, 0])
        self._since = time.monotonic()
        self._waiting = 0

    def note(self, key: OpenKey, size_bytes: int) -> None:
        """Count one sealing; every now and then write all counts, after the present transaction."""
        with self._lock:
            count = self._counts[key.tenant_id, key.id]
            count[0] += 1
            count[1] += size_bytes
            self._waiting += 1
            due = self._waiting >= FLUSH_USES or time.monotonic() - self._since > FLUSH_S
            if due:
                self._waiting, self._since = 0, time.monotonic()
        if due:
            transaction.on_commit(self.flush)

    def flush(self) -> None:
        """Add what was counted to the rows, one short transaction per key."""
        with self._lock:
            counts, self._counts = self._counts, defaultdict(lambda: [0, 0])
            self._waiting, self._since = 0, time.monotonic()
        for (tenant_id, key_id), (uses, size) in counts.items():
            with tenant_context(tenant_id), transaction.atomic():
                DataKey.objects.filter(pk=key_id).update(
                    uses=F("uses") + uses, sealed_bytes=F("sealed_bytes") + size
                )

    def after_fork(self) -> None:
        """The parent writes what it counted."""
        self._begin()


usage = Usage()
os.register_at_fork(after_in_child=usage.after_fork)
