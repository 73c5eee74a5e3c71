"""The WebSocket on which a batch job tells how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.db import transaction

from governance.access.services import record_refusal
from governance.errors import AccessDenied, DomainError
from governance.principals import Principal
from governance.tenants.context import RowScope, row_scope
from inference.serving.batch.events import group, progress
from inference.serving.batch.selectors import job_for

FORBIDDEN = 4403
FINISHED = 1000


class BatchJobConsumer(AsyncJsonWebsocketConsumer):
    """Sends the present state at once, then every change, and closes after the last. Close code 4403: not for you."""

    async def connect(self) -> None:
        self._group = ""
        scope: Mapping[str, Any] = self.scope
        principal: Principal = scope["principal"]
        job_id: UUID = scope["url_route"]["kwargs"]["job_id"]
        await self.accept()
        # Joined before the state is read, so that no change falls between the two.
        try:
            await database_sync_to_async(_state)(principal, job_id)
            self._group = group(job_id)
            await self.channel_layer.group_add(self._group, self.channel_name)
            state = await database_sync_to_async(_state)(principal, job_id)
        except DomainError:
            await self.close(code=FORBIDDEN)
            return
        await self._tell(state)

    async def disconnect(self, code: int) -> None:
        if self._group:
            await self.channel_layer.group_discard(self._group, self.channel_name)

    async def batch_progress(self, event: dict[str, Any]) -> None:
        """A change, sent by `inference.serving.batch.events.publish`."""
        await self._tell(event["job"])

    async def _tell(self, state: dict[str, Any]) -> None:
        await self.send_json(state)
        if state["finished"]:
            await self.close(code=FINISHED)


def _state(principal: Principal, job_id: UUID) -> dict[str, Any]:
    try:
        scope = RowScope(tenant_id=principal.tenant_id, platform=principal.platform)
        with row_scope(scope), transaction.atomic():
            return progress(job_for(principal, job_id))
    except AccessDenied as denied:
        record_refusal(denied)
        raise
