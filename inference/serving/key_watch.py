"""Models of a tenant whose keys are destroyed leave the memory of this process, whether or not anybody asks for them.

The announcement says only that a tenant's keys changed, so the database is asked whether they are destroyed; a rotation
unloads nothing. Whoever cannot be answered is unloaded: a model that was sealed with living keys loads again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol
from uuid import UUID

from governance.access.hub import EVERYTHING

log = logging.getLogger(__name__)


class Models(Protocol):
    """The loaded models, by tenant."""

    def tenants(self) -> Iterable[UUID]:
        """Those that have a route here."""

    def withdraw(self, tenant_id: UUID) -> None:
        """Unload what is theirs, and what is being loaded for them."""


class KeyWatch:
    """A hearer for one event loop. `destroyed` blocks: it is asked in a thread."""

    def __init__(self, destroyed: Callable[[UUID], bool]) -> None:
        self._destroyed = destroyed
        self._models: Models | None = None
        self._asking: set[asyncio.Task[None]] = set()

    def watch(self, models: Models) -> None:
        """Whose models leave."""
        self._models = models

    def heard(self, connected: bool) -> None:
        """After a gap every tenant is asked about, for its announcement may have been in it."""
        if connected:
            self.invalidate(EVERYTHING, "")

    def invalidate(self, topic: str, key: str) -> None:
        """A tenant's keys changed, or everything is doubtful."""
        if self._models is None or topic not in ("key", EVERYTHING):
            return
        for tenant_id in [UUID(key)] if topic == "key" else list(self._models.tenants()):
            task = asyncio.get_running_loop().create_task(self._ask(tenant_id))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, tenant_id: UUID) -> None:
        assert self._models is not None
        try:
            gone = await asyncio.to_thread(self._destroyed, tenant_id)
        except Exception:
            log.exception(
                "whether the keys of tenant %s are destroyed is not known; its models go", tenant_id
            )
            gone = True
        if gone:
            self._models.withdraw(tenant_id)
