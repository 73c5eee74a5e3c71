"""Tenants share the machine: nobody's models and nobody's requests may take the turns of the others.

A loaded version belongs to one tenant, and so does its queue. What tenants share is this process: its cores, and the
requests that it may hold at once. `Turns` shares the cores (start-time fair queueing over the models' threads),
`Shares` the requests. Neither costs anything to a tenant who is alone.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from uuid import UUID

from inference.serving.errors import Overloaded

# A run may take minutes or never end. Whoever waits longer than this starts beside it, and the system's scheduler
# divides the cores.
MAX_WAIT_S = 1.0
# Tenants whose used time is remembered; they are forgotten all at once, which gives each of them a fresh start.
MAX_TENANTS = 10_000

NOBODY = UUID(int=0)


@dataclass(slots=True, eq=False)
class _Waiting:
    tenant: UUID
    number: int
    turn: threading.Event = field(default_factory=threading.Event)


class Turns:
    """Lets as many models compute at once as there are cores; the tenant that used the least goes first.

    Thread-safe. A tenant that comes back after a pause starts where the busy ones are: no credit is saved up.
    """

    def __init__(self, slots: int | None = None, *, max_wait_s: float = MAX_WAIT_S) -> None:
        self._free = slots or os.cpu_count() or 1
        self._max_wait_s = max_wait_s
        self._lock = threading.Lock()
        self._used: dict[UUID, float] = {}
        self._now = 0.0
        self._waiting: list[_Waiting] = []
        self._number = 0

    def enter(self, tenant: UUID) -> bool:
        """Wait for a turn. False: it did not come in time, and the caller computes without one. Then `leave`."""
        with self._lock:
            if self._free > 0 and not self._waiting:
                self._free -= 1
                return True
            self._number += 1
            waiting = _Waiting(tenant, self._number)
            self._waiting.append(waiting)
        if waiting.turn.wait(self._max_wait_s):
            return True
        with self._lock:
            if waiting.turn.is_set():
                return True
            self._waiting.remove(waiting)
        return False

    def leave(self, tenant: UUID, seconds: float, *, had_turn: bool) -> None:
        """Hand the turn on, and charge the tenant for what it used. While nobody waits, nobody is charged."""
        with self._lock:
            if not self._waiting:
                self._free += had_turn
                return
            if len(self._used) > MAX_TENANTS:
                self._used.clear()
            self._used[tenant] = max(self._used.get(tenant, 0.0), self._now) + seconds
            if not had_turn:
                return
            following = min(self._waiting, key=lambda one: (self._start(one.tenant), one.number))
            self._now = max(self._now, self._start(following.tenant))
            self._waiting.remove(following)
            following.turn.set()

    def _start(self, tenant: UUID) -> float:
        return max(self._used.get(tenant, 0.0), self._now)


class Shares:
    """Requests under way in this process. Belongs to one event loop.

    Below `total` anybody may bring more, up to `per_tenant`. At `total`, only tenants that have less than their equal
    share may, so that the others' requests never lock them out; `total` is then exceeded, to twice at most.
    """

    def __init__(self, *, total: int, per_tenant: int) -> None:
        self._total = total
        self._per_tenant = per_tenant
        self._under_way: dict[UUID, int] = {}
        self._sum = 0

    def __len__(self) -> int:
        return self._sum

    def enter(self, tenant: UUID) -> None:
        """Count one more. Raises Overloaded: 429 where the organisation itself is the cause, else 503."""
        own = self._under_way.get(tenant, 0)
        if own >= self._per_tenant:
            raise Overloaded(
                f"your organisation has {own} requests under way, which is the most allowed", status=429
            )
        if self._sum >= self._total and own >= self._total // (len(self._under_way) + (not own)):
            raise Overloaded("this server has as many requests under way as it can hold; try again shortly")
        self._under_way[tenant] = own + 1
        self._sum += 1

    def leave(self, tenant: UUID) -> None:
        """Count one less."""
        self._sum -= 1
        left = self._under_way[tenant] - 1
        if left:
            self._under_way[tenant] = left
        else:
            del self._under_way[tenant]
