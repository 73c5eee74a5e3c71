"""The WebSocket on which a batch job tells how far it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from django.db import transaction

from governance.access.decisions import decide
from governance.access.hub_sockets import StandingConsumer
from governance.decision import Decision
from governance.principals import Principal
from governance.tenants.context import RowScope, row_scope
from inference.serving.batch.events import group, progress
from inference.serving.batch.selectors import find_job, job_for, seeing

FINISHED = 1000


class BatchJobConsumer(StandingConsumer):
    """Sends the present state at once, then every change, and closes after the last."""

    group = ""

    def decision(self, principal: Principal) -> Decision:
        job = find_job(self.job_id)
        return decide(principal, seeing(principal, job), job)

    async def opened(self) -> None:
        # Joined before the state is read, so that no change falls between the two.
        self.group = group(self.job_id)
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self._tell(await database_sync_to_async(_state)(self.principal, self.job_id))

    async def closed(self) -> None:
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def batch_progress(self, event: dict[str, Any]) -> None:
        """A change, sent by `inference.serving.batch.events.publish`."""
        await self._tell(event["job"])

    @property
    def job_id(self) -> UUID:
        """The job of the address."""
        scope: Mapping[str, Any] = self.scope
        found: UUID = scope["url_route"]["kwargs"]["job_id"]
        return found

    async def _tell(self, state: dict[str, Any]) -> None:
        await self.send(json.dumps(state))
        if state["finished"]:
            await self.close(code=FINISHED)


def _state(principal: Principal, job_id: UUID) -> dict[str, Any]:
    scope = RowScope(tenant_id=principal.tenant_id, platform=principal.platform)
    with row_scope(scope), transaction.atomic():
        return progress(job_for(principal, job_id))
