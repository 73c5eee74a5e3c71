"""A small cache for slow answers: bounded, one load per missing key, and never filled with what a change overtook."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from inference.serving.errors import Overloaded

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_ABSENT = 4096


class SingleFlight(Generic[K, V]):
    """However many ask for the same thing at once, it is loaded once. Belongs to one event loop."""

    def __init__(self, max_flights: int) -> None:
        self._max_flights = max_flights
        self._flights: dict[K, asyncio.Task[V]] = {}

    async def run(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        """Wait for the load of `key`, starting it if nobody has. Raises Overloaded when too many are under way.

        A caller who gives up does not take the load away from the others.
        """
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= self._max_flights:
                raise Overloaded("too many identities and endpoints are being looked up; try again shortly")
            flight = self._flights[key] = asyncio.ensure_future(self._fly(key, load))
            flight.add_done_callback(_retrieve)
        return await asyncio.shield(flight)

    def forget(self, key: K | None = None) -> None:
        """Let later callers start a new load (of `key`, or of everything): a running one may read what was before."""
        if key is None:
            self._flights.clear()
        else:
            self._flights.pop(key, None)

    def is_current(self, key: K) -> bool:
        """Asked by a load about itself: whether it was not forgotten meanwhile."""
        return self._flights.get(key) is asyncio.current_task()

    async def _fly(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        try:
            return await load()
        finally:
            if self.is_current(key):
                del self._flights[key]


def _retrieve(flight: asyncio.Task[V]) -> None:
    """Look at the result, so that a failure after every caller gave up is not reported as forgotten."""
    if not flight.cancelled():
        flight.exception()


class FlightCache(Generic[K, V]):
    """Least recently used values by key, with the time each load began. Absent things are remembered apart, briefly."""

    def __init__(self, max_entries: int, max_flights: int) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[K, tuple[V, float]] = OrderedDict()
        self._absent: OrderedDict[K, float] = OrderedDict()
        self._flights: SingleFlight[K, V | None] = SingleFlight(max_flights)

    def __len__(self) -> int:
        return len(self._entries)

    def fresh(self, key: K, not_before: float) -> V | None:
        """The value, if its load began after `not_before`."""
        entry = self._entries.get(key)
        if entry is None or entry[1] <= not_before:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    async def load(
        self,
        key: K,
        load: Callable[[], Awaitable[V | None]],
        clock: Callable[[], float],
        *,
        absent_age_s: float = 0.0,
    ) -> V | None:
        """Load and keep the value. None (nothing there) is believed for `absent_age_s`."""
        absent_since = self._absent.get(key)
        if absent_since is not None and clock() - absent_since < absent_age_s:
            return None

        async def load_and_keep() -> V | None:
            began = clock()
            value = await load()
            if self._flights.is_current(key):
                self._keep(key, value, began)
            return value

        return await self._flights.run(key, load_and_keep)

    def discard(self, key: K | None) -> None:
        """Forget one key, or everything."""
        if key is None:
            self.clear()
            return
        self._entries.pop(key, None)
        self._absent.pop(key, None)
        self._flights.forget(key)

    def clear(self) -> None:
        """Forget everything, and what is being loaded now."""
        self._entries.clear()
        self._absent.clear()
        self._flights.forget()

    def _keep(self, key: K, value: V | None, began: float) -> None:
        if value is None:
            self._entries.pop(key, None)
            _put(self._absent, key, began, MAX_ABSENT)
        else:
            self._absent.pop(key, None)
            _put(self._entries, key, (value, began), self._max_entries)


def _put(entries: OrderedDict[K, V], key: K, value: V, limit: int) -> None:
    entries[key] = value
    entries.move_to_end(key)
    if len(entries) > limit:
        entries.popitem(last=False)
