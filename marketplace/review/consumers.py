"""The live socket of one submission: every change sends the whole view anew, as this reader may see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.utils import translation

from governance.access.decisions import decide
from governance.access.hub_sockets import StandingConsumer
from governance.access.standing import REFUSED
from governance.decision import Decision
from governance.errors import DomainError
from governance.principals import Principal
from governance.tenants.context import RowScope, row_scope
from marketplace.review import selectors
from marketplace.review.live import group_of
from marketplace.review.serializers import submission_json


class SubmissionConsumer(StandingConsumer):
    """`/ws/submissions/<id>/`: sends `{"type": "submission", "submission": {…}}` at once and after every change.

    The socket only tells; whatever a client says is ignored.
    """

    group = ""

    def decision(self, principal: Principal) -> Decision:
        submission = selectors.find_submission(self.submission_id)
        return decide(principal, "review.submission.view", submission)

    async def opened(self) -> None:
        # Joined before the state is read, so that no change falls between the two.
        self.group = group_of(self.submission_id)
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self._send_state()

    async def closed(self) -> None:
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def submission_changed(self, event: dict[str, Any]) -> None:
        """Somebody changed the submission."""
        await self._send_state()

    @property
    def submission_id(self) -> UUID:
        """The submission of the address."""
        scope: Mapping[str, Any] = self.scope
        found: UUID = scope["url_route"]["kwargs"]["submission_id"]
        return found

    async def _send_state(self) -> None:
        language = self.scope.get("cookies", {}).get("openclaw_language", "en")
        state = await database_sync_to_async(_state)(self.principal, self.submission_id, language)
        if state is None:  # gone meanwhile
            await self.close(code=REFUSED)
            return
        await self.send(json.dumps({"type": "submission", "submission": state}, cls=DjangoJSONEncoder))


def _state(principal: Principal, submission_id: UUID, language: str) -> dict[str, Any] | None:
    scope = RowScope(tenant_id=principal.tenant_id, platform=principal.platform)
    with row_scope(scope), transaction.atomic(), translation.override(language):
        try:
            submission = selectors.get_submission(principal=principal, submission_id=submission_id)
        except DomainError:
            return None
        return submission_json(submission, principal=principal)
