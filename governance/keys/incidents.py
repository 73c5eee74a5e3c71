"""Sealed data that would not open is a thing to look into, so it is written to the audit log.

Whoever reads it gets an error and rolls back; the entry is written behind, in a transaction of its own, and equal
incidents are counted together so that a loop cannot fill the log.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from governance.access.recorder import recorder
from governance.audit.models import AuditEntry
from governance.audit.services import record
from governance.keys.asking import asked_by
from governance.keys.errors import KeyDestroyed, Unsealable
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import current_request_id, platform_scope, request_id

log = logging.getLogger(__name__)

FLUSH_S = 1.0
RETRY_S = 10.0  # while the database is away
REPEAT_S = 60.0  # between two entries about the same incident
MAX_WAITING = 1000


@dataclass(frozen=True, slots=True)
class Incident:
    """What would not open, whose it should be, and what was wrong with it."""

    tenant_id: UUID
    purpose: str
    object_id: str
    code: str
    asked_by: str = ""


@dataclass(slots=True)
class Seen:
    """How often, and in which request first."""

    times: int = 0
    request_id: str = ""


class Incidents:
    """A bounded buffer with a thread that is there only while something waits."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start empty; after a fork the parent writes what it noted."""
        self._lock = threading.Lock()
        self._waiting: dict[Incident, Seen] = {}
        self._written: dict[Incident, float] = {}
        self._thread: threading.Thread | None = None
        self._due = threading.Event()

    def note(self, incident: Incident) -> None:
        """Remember one. Never raises, never waits for the database."""
        log.warning("sealed data of %s would not open: %s", incident.purpose, incident.code)
        with self._lock:
            if incident not in self._waiting and len(self._waiting) >= MAX_WAITING:
                return
            seen = self._waiting.setdefault(incident, Seen(request_id=current_request_id()))
            seen.times += 1
            if recorder.background and self._thread is None:
                self._thread = threading.Thread(target=self._write_soon, name="key-incidents", daemon=True)
                self._thread.start()

    def flush(self, *, repeat_s: float = 0.0) -> bool:
        """Write what waits, each in a transaction of its own; whether nothing is left.

        What was written less than `repeat_s` ago goes on waiting and is counted, so that somebody who tries again and
        again makes few entries. So does everything while the database is away. An entry that the database itself
        refuses stays in the log only, and keeps no other waiting.
        """
        now = time.monotonic()
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            self._written = {incident: at for incident, at in self._written.items() if now - at < repeat_s}
        for incident in [incident for incident in waiting if incident not in self._written]:
            try:
                _write(incident, waiting[incident])
            except (OperationalError, InterfaceError) as error:
                log.error("incidents wait for the database: %s", type(error).__name__)
                break
            except (DatabaseError, RuntimeError) as error:
                log.error("an incident could not be written to the audit log: %s", type(error).__name__)
            del waiting[incident]
            self._written[incident] = now
        self._put_back(waiting)
        return not waiting

    def _put_back(self, waiting: dict[Incident, Seen]) -> None:
        with self._lock:
            for incident, seen in self._waiting.items():
                if incident in waiting:
                    waiting[incident].times += seen.times
                elif len(waiting) < MAX_WAITING:
                    waiting[incident] = seen
            self._waiting = waiting

    def end(self) -> None:
        """Write what waits before the process ends."""
        if recorder.background:
            self.flush()

    def _write_soon(self) -> None:
        pause_s = FLUSH_S
        while True:
            self._due.wait(pause_s)
            written = self.flush(repeat_s=REPEAT_S)
            connection.close()
            pause_s = FLUSH_S if written else RETRY_S
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return


def _write(incident: Incident, seen: Seen) -> None:
    details: dict[str, Any] = {"purpose": incident.purpose, "times": seen.times}
    if incident.asked_by:
        details["asked_by"] = incident.asked_by
    with request_id(seen.request_id), platform_scope(), transaction.atomic():
        record(
            principal=SYSTEM,
            action="keys.envelope.open",
            target=ObjectRef(type="keys.envelope", id=incident.object_id, label=incident.purpose),
            tenant_id=incident.tenant_id,
            decision=AuditEntry.Decision.DENY,
            reason=incident.code,
            details=details,
        )


incidents = Incidents()
atexit.register(incidents.end)
os.register_at_fork(after_in_child=incidents.begin)


@contextmanager
def noticed(tenant_id: UUID, purpose: str, object_id: str) -> Iterator[None]:
    """Note what cannot be opened in this block, and let the error through."""
    try:
        yield
    except (Unsealable, KeyDestroyed) as error:
        incidents.note(Incident(tenant_id, purpose, object_id, error.code, asked_by()))
        raise
