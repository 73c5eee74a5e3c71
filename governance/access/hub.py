"""Hearing of changes in this process: one connection that LISTENs where `governance.access.broadcast` notifies.

Whoever remembers an answer subscribes, and may believe it for `hub.max_age_s` at most. A line that breaks is noticed
at once, one that merely falls silent within `HEARTBEAT_S + ANSWER_S`; from then until changes are heard of again
nothing is believed for more than a second, so that a revocation is obeyed in a second with or without the channel.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import sql

from governance.access.broadcast import CHANNEL

log = logging.getLogger(__name__)

LISTENER_NAME = "openclaw listener"
HEARTBEAT_S = 0.5
ANSWER_S = 1.5
CONNECT_S = 3.0
RECONNECT_S = 0.5
MAX_AGE_HEARD_S = 60.0
MAX_AGE_UNHEARD_S = 1.0
# Said as topic when everything is doubtful: the line was lost, or is there again.
EVERYTHING = "*"

Callback = Callable[[str, str], None]
StateCallback = Callable[[bool], None]
Forget = Callable[[], None]

# Django's own arguments to psycopg, which mean nothing to an asynchronous connection of another kind.
_DJANGO_ONLY = frozenset({"context", "cursor_factory", "prepare_threshold", "pool"})


def site_connection() -> Mapping[str, Any]:
    """psycopg's parameters for a connection beside Django's own."""
    from django.db import connection

    parameters = connection.get_connection_params()
    shared = {key: value for key, value in parameters.items() if key not in _DJANGO_ONLY}
    return shared | {"application_name": LISTENER_NAME}


class Hub:
    """A thread with a connection of its own, which connects again whenever it must.

    `parameters` are psycopg's, asked for at every attempt. Callbacks run in the hub's thread: they must be quick, must
    not touch the database, and hand over to an event loop by `call_soon_threadsafe`. One that raises is logged.
    """

    _thread: threading.Thread | None

    def __init__(
        self, parameters: Callable[[], Mapping[str, Any]] = site_connection, *, channel: str = CHANNEL
    ) -> None:
        self._parameters = parameters
        self._channel = channel
        self._caches: tuple[Callback, ...] = ()
        self._subscribers: tuple[Callback, ...] = ()
        self._state_subscribers: tuple[StateCallback, ...] = ()
        self.generation = 0
        """Grows with every announcement: what was read before it grew may be older than the announcement."""
        self.lost_at: float | None = time.time()
        """Since when changes are not heard of (seconds since the epoch); None while they are."""
        self._begin_anew()

    @property
    def connected(self) -> bool:
        """Whether changes reach this process now."""
        return self._listening.is_set()

    @property
    def max_age_s(self) -> float:
        """How old a remembered answer may be, now."""
        return MAX_AGE_HEARD_S if self._listening.is_set() else MAX_AGE_UNHEARD_S

    def subscribe(self, callback: Callback) -> Forget:
        """Call `callback(topic, key)` for every change; `EVERYTHING` means that all is doubtful. Returns its end."""
        with self._lock:
            self._subscribers = (*self._subscribers, callback)
        return lambda: self._drop(callback)

    def subscribe_cache(self, forget: Callback) -> None:
        """Call `forget(topic, key)` for every change, for good, before anybody else hears of it; see `dispatch`."""
        with self._lock:
            self._caches = (*self._caches, forget)

    @property
    def forgetting(self) -> bool:
        """Whether a change is being told to the caches now: what is read meanwhile must not be remembered."""
        return self._forgetting > 0

    def subscribe_state(self, callback: StateCallback) -> Forget:
        """Call `callback(connected)` now and whenever it changes. Returns what ends it."""
        with self._lock:
            self._state_subscribers = (*self._state_subscribers, callback)
            callback(self.connected)
        return lambda: self._drop(callback)

    def start(self, *, wait_s: float = CONNECT_S) -> bool:
        """Begin to listen if nobody has, and give the first connection `wait_s`. Returns whether it is there.

        It is not an error when it is not: it is tried again, and nothing is believed for long meanwhile.
        """
        with self._lock:
            if self._thread is None:
                self._stopping.clear()
                self._thread = threading.Thread(target=self._run, name="openclaw-hub", daemon=True)
                self._thread.start()
        return self._listening.wait(wait_s)

    def stop(self) -> None:
        """Close the connection and end the thread. What is remembered is doubtful from here on."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stopping.set()
            loop, task = self._loop, self._task
        if thread is None:
            return
        if loop is not None and task is not None:
            with suppress(RuntimeError):  # it has ended by itself meanwhile
                loop.call_soon_threadsafe(task.cancel)
        if thread is not threading.current_thread():
            thread.join(CONNECT_S)

    def dispatch(self, topic: str, key: str) -> None:
        """Tell every subscriber of this process, as if it had been announced.

        One answer may be made of another (a judgement of the policies in force), so whichever cache forgot first could
        fill itself again from one that has not yet. Therefore all of them forget, keep nothing while `forgetting`,
        and forget once more what was begun in between; only then does anybody hear who asks again.
        """
        self.generation += 1
        with self._lock:
            self._forgetting += 1
        try:
            for _round in range(2):
                self._call(self._caches, topic, key)
        finally:
            with self._lock:
                self._forgetting -= 1
        self._call(self._subscribers, topic, key)

    def forget_parent(self) -> None:
        """After a fork: the thread and its connection are the parent's. Subscribers stay; `start` listens anew.

        Nobody is told: who asks for `max_age_s` knows, and a child that never starts must not wake its parent's loops.
        """
        self._begin_anew()
        self.lost_at = time.time()

    # --- The thread --------------------------------------------------------------------------------------------------

    @staticmethod
    def _call(callbacks: tuple[Callback, ...], topic: str, key: str) -> None:
        for callback in callbacks:
            try:
                callback(topic, key)
            except Exception:
                log.exception("a subscriber failed on %s", topic)

    def _begin_anew(self) -> None:
        self._lock = threading.RLock()
        self._forgetting = 0
        self._listening = threading.Event()
        self._stopping = threading.Event()
        self._thread = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def _drop(self, callback: Callback | StateCallback) -> None:
        with self._lock:
            self._subscribers = tuple(known for known in self._subscribers if known is not callback)
            self._state_subscribers = tuple(
                known for known in self._state_subscribers if known is not callback
            )

    def _run(self) -> None:
        with (
            suppress(asyncio.CancelledError),
            asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner,
        ):
            runner.run(self._keep_listening())

    async def _keep_listening(self) -> None:
        with self._lock:
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        while not self._stopping.is_set():
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                log.warning("changes are not heard of, trying again: %s", _said(error))
            finally:
                if self.connected:
                    self._set(False)
            await asyncio.sleep(RECONNECT_S)

    async def _listen(self) -> None:
        parameters = {"connect_timeout": int(CONNECT_S), **self._parameters()}
        connection = await psycopg.AsyncConnection.connect(**parameters, autocommit=True)
        async with connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            # What changed while nobody listened is doubted here, after LISTEN took effect.
            self._set(True)
            while True:
                async for notification in connection.notifies(timeout=HEARTBEAT_S):
                    topic, _separator, key = notification.payload.partition(":")
                    self.dispatch(topic, key)
                await asyncio.wait_for(connection.execute("SELECT 1"), ANSWER_S)

    def _set(self, connected: bool) -> None:
        with self._lock:
            (self._listening.set if connected else self._listening.clear)()
            self.lost_at = None if connected else time.time()
            self._tell(connected)
        self.dispatch(EVERYTHING, "")

    def _tell(self, connected: bool) -> None:
        for callback in self._state_subscribers:
            try:
                callback(connected)
            except Exception:
                log.exception("a subscriber failed on the state of the channel")


def _said(error: Exception) -> str:
    return str(error).strip() or type(error).__name__


hub = Hub()
atexit.register(hub.stop)
os.register_at_fork(after_in_child=hub.forget_parent)
