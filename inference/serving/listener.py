"""Hearing of changes: PostgreSQL LISTEN on the channel that `governance.access.broadcast.announce` notifies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import psycopg
from psycopg import sql

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
RECONNECT_S = 0.5
TIMEOUT_S = 3.0


class Hearer(Protocol):
    """Who is told."""

    def heard(self, connected: bool) -> None:
        """Changes are heard of from now on, or no longer. Either way nothing from before may be believed."""

    def invalidate(self, topic: str, key: str) -> None:
        """Something changed."""


class Listener:
    """Keeps one connection of its own, checks every second that it lives, and connects again when it does not.

    `connection` are psycopg's connection parameters, asked for at every attempt.
    """

    def __init__(
        self, connection: Callable[[], Mapping[str, Any]], hearer: Hearer, *, channel: str = "openclaw"
    ) -> None:
        self._connection = connection
        self._hearer = hearer
        self._channel = channel
        self._task: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether changes reach this process now."""
        return self._listening.is_set()

    async def start(self, *, wait_s: float = TIMEOUT_S) -> None:
        """Begin, and give the first connection `wait_s` to come about. It is not an error when it does not."""
        self._task = asyncio.ensure_future(self._run())
        with suppress(TimeoutError):
            await asyncio.wait_for(self._listening.wait(), wait_s)

    async def stop(self) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                log.warning(
                    "changes are not heard of, trying again: %s", str(error).strip() or type(error).__name__
                )
            finally:
                if self.connected:
                    self._listening.clear()
                    self._hearer.heard(False)
            await asyncio.sleep(RECONNECT_S)

    async def _listen(self) -> None:
        parameters = {"connect_timeout": int(TIMEOUT_S), **self._connection()}
        connection = await psycopg.AsyncConnection.connect(**parameters, autocommit=True)
        async with connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            # Whatever changed while nobody listened is forgotten here, after LISTEN took effect.
            self._hearer.heard(True)
            self._listening.set()
            while True:
                async for notification in connection.notifies(timeout=HEARTBEAT_S):
                    topic, _separator, key = notification.payload.partition(":")
                    self._hearer.invalidate(topic, key)
                await asyncio.wait_for(connection.execute("SELECT 1"), TIMEOUT_S)
