"""The one entry: `/v2` goes to the lean inference application, sockets to Channels, everything else to Django.

Django's handler costs several times what a small model's prediction does, so the hot route never passes through it;
both live in one process and share settings, principals and decisions.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openclaw_site.settings")

from django.core.asgi import get_asgi_application

django_application = get_asgi_application()

from asgiref.sync import sync_to_async
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import get_resolver

from governance.access.hub import hub
from governance.process import set_process_kind
from inference.serving.asgi import application as inference_application
from openclaw_site.routing import websocket_urlpatterns
from openclaw_site.sockets import PrincipalSocket
from openclaw_site.startup import verify_runtime

set_process_kind("web")

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# Typed loosely: its stubs name every message of the ASGI specification, ours only what we look at.
_site: Any = ProtocolTypeRouter(
    {"http": django_application, "websocket": PrincipalSocket(URLRouter(websocket_urlpatterns))}
)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Dispatch one connection."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http" and _is_inference(scope["path"]):
        await inference_application(scope, receive, send)
    else:
        await _site(scope, receive, send)


def _is_inference(path: str) -> bool:
    return path == "/v2" or path.startswith("/v2/")


def _prepare() -> None:
    verify_runtime()
    # Loads every page's module now: the inference application freezes what is in memory out of the collector's way.
    assert get_resolver().url_patterns


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            try:
                await sync_to_async(_prepare)()
                await sync_to_async(hub.start)()
                await inference_application.startup()
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await inference_application.shutdown()
            await sync_to_async(hub.stop)()
            await send({"type": "lifespan.shutdown.complete"})
            return
