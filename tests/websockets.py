"""A WebSocket client for tests that speaks ASGI: `channels.testing` would need a second web server installed."""

from __future__ import annotations

import json
from typing import Any

from asgiref.testing import ApplicationCommunicator

__test__ = False


class Socket:
    """One connection of a principal to the site's WebSocket routes."""

    def __init__(self, path: str, principal: object) -> None:
        from channels.routing import URLRouter

        from openclaw_site.routing import websocket_urlpatterns

        application = URLRouter(websocket_urlpatterns)
        scope = {
            "type": "websocket",
            "path": path,
            "headers": [],
            "query_string": b"",
            "subprotocols": [],
            "principal": principal,
        }
        self._link = ApplicationCommunicator(application, scope)

    async def connect(self) -> dict[str, Any]:
        """Open it; the first answer says whether it was accepted."""
        await self._link.send_input({"type": "websocket.connect"})
        return dict(await self._link.receive_output(5))

    async def receive(self, timeout_s: float = 5) -> dict[str, Any]:
        """The next message as it is: `websocket.send` or `websocket.close`."""
        return dict(await self._link.receive_output(timeout_s))

    async def receive_json(self, timeout_s: float = 5) -> Any:
        """The next text message, which must be JSON."""
        return json.loads((await self.receive(timeout_s))["text"])

    async def close(self) -> None:
        """Hang up."""
        await self._link.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._link.wait(5)
