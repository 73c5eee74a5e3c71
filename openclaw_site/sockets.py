"""WebSockets: origin check, the principal of a session or an access token, before any consumer is reached."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Any

from asgiref.sync import sync_to_async
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections

from governance.access.credentials import SCHEMES
from governance.access.middleware import find_principal
from governance.access.standing import Credential, credential_of, with_session
from governance.errors import DomainError
from governance.identity.care import usable
from governance.principals import ANONYMOUS, Principal


def _identify(request: ASGIRequest) -> tuple[Principal, Credential | None]:
    """The same answer that any page or API call would get with these headers."""
    close_old_connections()
    try:
        credential = credential_of(request)
        anew = with_session(request, credential.session_key if credential else "")
        # A session that still owes a second factor, or rested too long, opens nothing.
        return find_principal(anew) if usable(anew.session) else ANONYMOUS, credential
    except DomainError:  # a bearer token whose proof is wrong, say: nobody then
        return ANONYMOUS, None
    finally:
        close_old_connections()


class _WithPrincipal:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), "http")
        request = ASGIRequest(scope | {"type": "http", "method": "GET", "scheme": scheme}, BytesIO())
        principal, credential = await sync_to_async(_identify, thread_sensitive=False)(request)
        known = {"principal": principal, "credential": credential, "cookies": request.COOKIES}
        await self._inner(scope | known, receive, send)


class _Link:
    """The server's `receive` and `send`, made such that a close arrives although somebody waits to receive.

    granian 2.8 sends no close frame as long as a `receive` is pending, which one always is in Channels: so that one is
    ended first, and answered with the disconnect that follows.
    """

    def __init__(self, receive: Any, send: Any) -> None:
        self._receive, self._send = receive, send
        self._waiting: asyncio.Task[Any] | None = None
        self._code: int | None = None

    async def receive(self) -> Any:
        """The next message; after a close of our own, the disconnect."""
        if self._code is None:
            self._waiting = asyncio.ensure_future(self._next())
            try:
                await asyncio.wait({self._waiting})
            finally:
                self._waiting.cancel()
            if not self._waiting.cancelled():
                return self._waiting.result()
        return {"type": "websocket.disconnect", "code": self._code or 1005}

    async def send(self, message: Any) -> None:
        """Pass a message on."""
        if message["type"] == "websocket.close":
            self._code = message.get("code") or 1000
            if self._waiting is not None and not self._waiting.done():
                self._waiting.cancel()
                await asyncio.wait({self._waiting})
        await self._send(message)

    async def _next(self) -> Any:
        return await self._receive()


class PrincipalSocket:
    """`scope["principal"]` and `scope["credential"]` for every consumer; a foreign Origin never gets that far.

    A program names no Origin. It is let through with an access token, which no page of another site could send.
    """

    def __init__(self, inner: Any) -> None:
        self._with_principal = _WithPrincipal(inner)
        self._validated = AllowedHostsOriginValidator(self._with_principal)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        link = _Link(receive, send)
        headers = dict(scope["headers"])
        scheme = headers.get(b"authorization", b"").partition(b" ")[0].decode("latin-1").lower()
        if b"origin" not in headers and scheme in SCHEMES:
            await self._with_principal(scope, link.receive, link.send)
        else:
            await self._validated(scope, link.receive, link.send)
