"""Models of a tenant whose keys are destroyed leave the memory of this process, whether or not anybody asks for them.

The announcement says only that a tenant's keys changed, so the database is asked whether they are destroyed; a rotation
unloads nothing. While the database does not answer it is asked again and again: nobody's request gets past the look-ups
meanwhile, so that nothing is gained by unloading everybody's models in every outage.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol
from uuid import UUID

from governance.access.hub import EVERYTHING

log = logging.getLogger(__name__)

RETRY_S = 1.0


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
        self._asking: dict[UUID, asyncio.Task[None]] = {}

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
            # What is being asked may have been answered before the change, so it is asked anew.
            if (asking := self._asking.get(tenant_id)) is not None:
                asking.cancel()
            self._asking[tenant_id] = asyncio.get_running_loop().create_task(self._ask(tenant_id))

    def close(self) -> None:
        """Ask no more."""
        self._models = None
        for task in self._asking.values():
            task.cancel()
        self._asking.clear()

    async def _ask(self, tenant_id: UUID) -> None:
        while True:
            try:
                gone = await asyncio.to_thread(self._destroyed, tenant_id)
                break
            except Exception as error:  # noqa: BLE001  whatever keeps the database from answering
                log.warning(
                    "whether the keys of tenant %s are destroyed is not known yet: %s", tenant_id, error
                )
                await asyncio.sleep(RETRY_S)
        if gone and self._models is not None:
            self._models.withdraw(tenant_id)
        if self._asking.get(tenant_id) is asyncio.current_task():
            del self._asking[tenant_id]
