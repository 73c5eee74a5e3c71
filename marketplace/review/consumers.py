"""The live socket of one submission: every change sends the whole view anew, as this reader may see it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import translation

from governance.errors import DomainError
from governance.principals import Principal
from governance.tenants.context import RowScope, row_scope
from marketplace.review import selectors
from marketplace.review.live import group_of
from marketplace.review.serializers import submission_json

REFUSED = 4403


class SubmissionConsumer(AsyncWebsocketConsumer):
    """`/ws/submissions/<id>/`: sends `{"type": "submission", "submission": {…}}` at once and after every change."""

    group = ""

    async def connect(self) -> None:
        self.submission_id: UUID = self.scope["url_route"]["kwargs"]["submission_id"]
        state = await self._read()
        if state is None:
            await self.close(code=REFUSED)
            return
        self.group = group_of(self.submission_id)
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        # Read again: what happened between the first look and the subscription must not be missed.
        await self._send_state()

    async def disconnect(self, code: int) -> None:
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """The socket only tells; whatever a client says is ignored."""

    async def submission_changed(self, event: dict[str, Any]) -> None:
        """Somebody changed the submission."""
        await self._send_state()

    async def _send_state(self) -> None:
        state = await self._read()
        if state is None:  # the right was taken away while the page was open
            await self.close(code=REFUSED)
            return
        await self.send(json.dumps({"type": "submission", "submission": state}, cls=DjangoJSONEncoder))

    async def _read(self) -> dict[str, Any] | None:
        language = self.scope.get("cookies", {}).get("openclaw_language", "en")
        principal = self.scope["principal"]  # type: ignore[typeddict-item]
        return await database_sync_to_async(_state)(principal, self.submission_id, language)


def _state(principal: Principal, submission_id: UUID, language: str) -> dict[str, Any] | None:
    scope = RowScope(tenant_id=principal.tenant_id, platform=principal.platform)
    with row_scope(scope), transaction.atomic(), translation.override(language):
        try:
            submission = selectors.get_submission(principal=principal, submission_id=submission_id)
        except DomainError:
            return None
        return submission_json(submission, principal=principal)
