"""The hot route's ear: hands what this process hears over to the event loop that serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from governance.access.hub import CONNECT_S, Hub, hub


class Hearer(Protocol):
    """Who is told, in the event loop."""

    def heard(self, connected: bool) -> None:
        """Changes are heard of from now on, or no longer. Either way nothing from before may be believed."""

    def invalidate(self, topic: str, key: str) -> None:
        """Something changed."""


class Hearers:
    """Several that are told one after the other."""

    def __init__(self, *hearers: Hearer) -> None:
        self._hearers = hearers

    def heard(self, connected: bool) -> None:
        """Tell each."""
        for hearer in self._hearers:
            hearer.heard(connected)

    def invalidate(self, topic: str, key: str) -> None:
        """Tell each."""
        for hearer in self._hearers:
            hearer.invalidate(topic, key)


class Listener:
    """A subscriber of the process's hub for one event loop."""

    def __init__(self, hearer: Hearer, *, source: Hub = hub) -> None:
        self._hearer = hearer
        self._hub = source
        self._ends: list[Callable[[], None]] = []

    @property
    def connected(self) -> bool:
        """Whether changes reach this process now."""
        return self._hub.connected

    async def start(self, *, wait_s: float = CONNECT_S) -> None:
        """Subscribe, and give the hub's first connection `wait_s`. It is not an error when it does not come."""
        loop = asyncio.get_running_loop()

        def in_loop(call: Callable[..., None]) -> Callable[..., None]:
            def hand_over(*arguments: object) -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(call, *arguments)

            return hand_over

        self._ends = [
            self._hub.subscribe(in_loop(self._hearer.invalidate)),
            self._hub.subscribe_state(in_loop(self._hearer.heard)),
        ]
        await asyncio.to_thread(self._hub.start, wait_s=wait_s)

    async def stop(self) -> None:
        """Hear no more, so that nothing is believed for long. The hub goes on for the rest of the process."""
        while self._ends:
            self._ends.pop()()
        self._hearer.heard(False)
