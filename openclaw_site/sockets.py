"""WebSockets: origin check, the principal of a session or an access token, before any consumer is reached."""

from __future__ import annotations

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


class PrincipalSocket:
    """`scope["principal"]` and `scope["credential"]` for every consumer; a foreign Origin never gets that far.

    A program names no Origin. It is let through with an access token, which no page of another site could send.
    """

    def __init__(self, inner: Any) -> None:
        self._with_principal = _WithPrincipal(inner)
        self._validated = AllowedHostsOriginValidator(self._with_principal)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        scheme = headers.get(b"authorization", b"").partition(b" ")[0].decode("latin-1").lower()
        if b"origin" not in headers and scheme in SCHEMES:
            await self._with_principal(scope, receive, send)
        else:
            await self._validated(scope, receive, send)
