"""Sealed data that would not open is a thing to look into, so it is written to the audit log.

Whoever reads it gets an error and rolls back; the entry is written behind, in a transaction of its own, and equal
incidents are counted together so that a loop cannot fill the log.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from django.db import DatabaseError, connection, transaction

from governance.access.recorder import recorder
from governance.audit.models import AuditEntry
from governance.audit.services import record
from governance.keys.errors import Unsealable
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope

log = logging.getLogger(__name__)

FLUSH_S = 1.0
MAX_WAITING = 1000


@dataclass(frozen=True, slots=True)
class Incident:
    """What would not open, whose it should be, and what was wrong with it."""

    tenant_id: UUID
    purpose: str
    object_id: str
    code: str


class Incidents:
    """A bounded buffer with a thread that is there only while something waits."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start empty; after a fork the parent writes what it noted."""
        self._lock = threading.Lock()
        self._waiting: dict[Incident, int] = {}
        self._thread: threading.Thread | None = None
        self._due = threading.Event()

    def note(self, incident: Incident) -> None:
        """Remember one. Never raises, never waits for the database."""
        log.warning("sealed data of %s would not open: %s", incident.purpose, incident.code)
        with self._lock:
            if incident not in self._waiting and len(self._waiting) >= MAX_WAITING:
                return
            self._waiting[incident] = self._waiting.get(incident, 0) + 1
            if recorder.background and self._thread is None:
                self._thread = threading.Thread(target=self._write_soon, name="key-incidents", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Write what waits, each in a transaction of its own. What a missing database refuses stays in the log only."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for incident, count in waiting.items():
            try:
                with platform_scope(), transaction.atomic():
                    record(
                        principal=SYSTEM,
                        action="keys.envelope.open",
                        target=ObjectRef(type="keys.envelope", id=incident.object_id, label=incident.purpose),
                        tenant_id=incident.tenant_id,
                        decision=AuditEntry.Decision.DENY,
                        reason=incident.code,
                        details={"purpose": incident.purpose, "times": count},
                    )
            except DatabaseError as error:
                log.error("incidents could not be written to the audit log: %s", error)
                return

    def end(self) -> None:
        """Write what waits before the process ends."""
        if recorder.background:
            self.flush()

    def _write_soon(self) -> None:
        self._due.wait(FLUSH_S)
        with self._lock:
            self._thread = None
        self.flush()
        connection.close()


incidents = Incidents()
atexit.register(incidents.end)
os.register_at_fork(after_in_child=incidents.begin)


@contextmanager
def noticed(tenant_id: UUID, purpose: str, object_id: str) -> Iterator[None]:
    """Note what cannot be opened in this block, and let the error through."""
    try:
        yield
    except Unsealable as error:
        incidents.note(Incident(tenant_id, purpose, object_id, error.code))
        raise
