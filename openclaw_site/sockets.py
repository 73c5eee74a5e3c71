"""WebSockets: origin check, the session's principal, and its language, before any consumer is reached."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.security.websocket import AllowedHostsOriginValidator

from governance.access.middleware import SESSION_TENANT
from governance.access.principals import principal_for_user
from governance.principals import ANONYMOUS


def _principal(scope: dict[str, Any]) -> Any:
    user = scope.get("user")
    if user is None or not user.is_authenticated:
        return ANONYMOUS
    chosen = scope["session"].get(SESSION_TENANT)
    return principal_for_user(user, tenant_id=UUID(chosen) if chosen else None)


class _WithPrincipal:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        principal = await database_sync_to_async(_principal)(scope)
        await self.inner(scope | {"principal": principal}, receive, send)


class PrincipalSocket:
    """`scope["principal"]` for every consumer; a foreign Origin never gets that far."""

    def __init__(self, inner: Any) -> None:
        self._application = AllowedHostsOriginValidator(AuthMiddlewareStack(_WithPrincipal(inner)))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._application(scope, receive, send)
