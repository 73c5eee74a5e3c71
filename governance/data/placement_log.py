"""Recording placements behind the work: equal ones of a second are counted together and written by a thread."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import close_old_connections, transaction
from django.utils import timezone

from governance.access.recorder import handed_over, recorder
from governance.audit.services import platform_tenant_id
from governance.data.models import PlacementRecord
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant

FLUSH_S = 2.0
MAX_BUFFERED = 5_000
KEPT = timedelta(days=30)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Placed:
    """One decision about a piece of work. No pool: it was refused, by `rule`."""

    tenant_id: UUID | None
    task: str
    workload: str
    label: str
    subjects: tuple[str, ...]
    region: str
    pool: str
    kept_for: str = ""
    purpose: str = ""
    rule: str = ""
    reason: str = ""
    starting: bool = False
    burst: bool = False
    queue_length: int | None = None
    on_data: bool = True


class PlacementLog:
    """A buffer with a thread of its own, started at the first placement after a fork. Placing never waits for it."""

    def __init__(self, *, flush_s: float = FLUSH_S) -> None:
        self._flush_s = flush_s
        self._buffer: dict[tuple[int, Placed], int] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def note(self, placed: Placed) -> None:
        """Remember one decision."""
        key = int(time.time()), placed
        with self._lock:
            if key not in self._buffer and len(self._buffer) >= MAX_BUFFERED:
                self.dropped += 1
                return
            self._buffer[key] = self._buffer.get(key, 0) + 1
            if recorder.background and (self._thread is None or not self._thread.is_alive()):
                self._thread = threading.Thread(target=self._run, name="placement-log", daemon=True)
                self._thread.start()

    def flush(self) -> int:
        """Write what is buffered now; returns how many rows."""
        with self._lock:
            batch, self._buffer = self._buffer, {}
        if not batch:
            return 0
        handed_over(_write, batch)
        return len(batch)

    def forget(self) -> None:
        """Drop what is buffered: for tests, whose database is emptied between them."""
        with self._lock:
            self._buffer = {}

    def _run(self) -> None:
        while True:
            time.sleep(self._flush_s)
            self._flush_or_say()
            close_old_connections()

    def _flush_or_say(self) -> None:
        try:
            self.flush()
        except Exception:
            logger.exception("recorded placements could not be kept")


def _write(batch: dict[tuple[int, Placed], int]) -> None:
    with platform_scope(), transaction.atomic():
        house = _house()
        PlacementRecord.objects.bulk_create(
            PlacementRecord(
                tenant_id=tenant_id,
                at=datetime.fromtimestamp(second, UTC),
                task=placed.task,
                workload=placed.workload,
                label=placed.label,
                subjects=list(placed.subjects),
                region=placed.region,
                kept_for=placed.kept_for,
                purpose=placed.purpose,
                pool=placed.pool,
                rule=placed.rule,
                reason=placed.reason[:300],
                starting=placed.starting,
                burst=placed.burst,
                queue_length=placed.queue_length,
                on_data=placed.on_data,
                count=count,
            )
            for (second, placed), count in batch.items()
            if (tenant_id := placed.tenant_id or house) is not None
        )


def _house() -> UUID | None:
    """The platform's tenant; None while it is yet to be made: the clock runs before, and nobody's work is not kept."""
    try:
        return platform_tenant_id()
    except Tenant.DoesNotExist:
        return None


def drop_old_placements() -> int:
    """Forget placements that are older than a month; returns how many."""
    with platform_scope(), transaction.atomic():
        return PlacementRecord.objects.filter(at__lt=timezone.now() - KEPT).delete()[0]


log = PlacementLog()


@atexit.register
def _keep_the_rest() -> None:
    if recorder.background:
        log._flush_or_say()
