"""Recording decisions behind the request: what was asked, what was answered, how often.

Equal questions are counted together, so that a hot route costs one dictionary look-up per decision. A full buffer
drops counts (and says how many) rather than making a decision wait.
"""

from __future__ import annotations

import atexit
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

from django.db import IntegrityError, InterfaceError, OperationalError

from governance.decision import Decision

log = logging.getLogger(__name__)

T = TypeVar("T")
FLUSH_S = 2.0
MAX_BUFFERED = 5_000
PAUSES_S = (0.0, 0.05, 0.25)  # between the attempts to hand a batch over
CLOCK = frozenset({"now", "hour", "weekday"})  # differ every time without making another question


@dataclass(slots=True, eq=False)
class Recorded:
    """One question with its answer. `request` is the Cedar request with entities, or empty where none was evaluated.

    `enforced` tells an answer that was obeyed from one that only said what to show.
    """

    key: str
    decision: Decision
    request: dict[str, Any]
    count: int
    first_at: float
    last_at: float
    enforced: bool = True


Sink = Callable[[Sequence[Recorded]], None]


class Recorder:
    """A buffer with a thread of its own, started at the first decision after a fork."""

    background = True  # off where somebody calls `flush`: in tests, whose transactions no other thread sees

    def __init__(self, *, flush_s: float = FLUSH_S, max_buffered: int = MAX_BUFFERED) -> None:
        self._flush_s = flush_s
        self._max_buffered = max_buffered
        self._sinks: list[Sink] = []
        self._buffer: dict[tuple[Any, ...], Recorded] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self.dropped = 0

    def subscribe(self, sink: Sink) -> None:
        """Hand every flushed batch to `sink` as well. It runs in the recorder's thread."""
        if sink not in self._sinks:
            self._sinks.append(sink)

    def note(
        self, decision: Decision, request: dict[str, Any], *, enforced: bool = True, times: int = 1
    ) -> None:
        """Remember one decision, made `times` times. Never raises, never waits for the database."""
        if not self._sinks:
            return
        principal, target = decision.principal, decision.target
        short = (
            principal.id,
            decision.tenant_id,
            decision.action,
            target.id if target else "",
            decision.allow,
            decision.rules,
            decision.policy_version,
            enforced,
            _facts_of_the_moment(request),
        )
        now = time.time()
        with self._lock:
            known = self._buffer.get(short)
            if known is not None:
                known.count += times
                known.last_at = now
                return
            if len(self._buffer) >= self._max_buffered:
                self.dropped += 1
                return
            self._buffer[short] = Recorded(_digest(short), decision, request, times, now, now, enforced)
            if self.background and (self._thread is None or not self._thread.is_alive()):
                self._start()

    def count(self, decision: Decision, times: int = 1) -> None:
        """Count a decision that was answered from memory so many times, without its request."""
        self.note(decision, {}, times=times)

    def flush(self) -> None:
        """Hand over what is buffered now. A sink that fails is logged and loses this batch, never the others."""
        with self._lock:
            batch, self._buffer = list(self._buffer.values()), {}
        if not batch:
            return
        for sink in self._sinks:
            try:
                handed_over(sink, batch)
            except Exception:
                log.exception("recorded decisions could not be kept")

    def forget(self) -> None:
        """Drop what is buffered: for tests, whose database is emptied between them."""
        with self._lock:
            self._buffer = {}

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="decision-recorder", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._flush_s)
            self.flush()


def handed_over(sink: Callable[[T], object], batch: T) -> None:
    """Again where the connection went away meanwhile (a worker closes its pool between two tasks, and short tasks
    follow each other closely), or a tenant."""
    for pause_s in PAUSES_S:
        try:
            sink(batch)
            return
        except (OperationalError, InterfaceError, IntegrityError):
            time.sleep(pause_s)
    sink(batch)


def _facts_of_the_moment(request: dict[str, Any]) -> str:
    context = request.get("context")
    if not context:
        return ""
    return json.dumps({k: v for k, v in context.items() if k not in CLOCK}, sort_keys=True, default=str)


def _digest(short: tuple[Any, ...]) -> str:
    return sha256(json.dumps([str(part) for part in short]).encode()).hexdigest()


recorder = Recorder()
atexit.register(recorder.flush)
