"""The base of every WebSocket consumer: nothing is sent or heard once the right to it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from governance.access.standing import STANDS, Standing
from governance.decision import Decision
from governance.principals import Principal

# An answer is never asked for more often than this, whatever the clocks say.
SHORTEST_REST_S = 0.05


class StandingConsumer(AsyncWebsocketConsumer):
    """A socket that says what it shows (`decision`) and is closed when the answer to that changes.

    It is accepted first, so that the client learns the code: 4403 refused, 4401 prove again who you are, 1013 later.
    Subclasses use `opened` and `closed` in place of connect and disconnect.
    """

    _standing: Standing | None = None
    _watch: asyncio.Task[None] | None = None
    _over = False

    def decision(self, principal: Principal) -> Decision:
        """Ask the decision point about what this socket shows. In a thread, in the principal's row scope."""
        raise NotImplementedError

    async def opened(self) -> None:
        """The socket is open and its principal may see what it shows."""

    async def closed(self) -> None:
        """The socket is gone."""

    @property
    def principal(self) -> Principal:
        """Who is at the other end, as known since the last answer."""
        assert self._standing is not None
        return self._standing.principal

    async def connect(self) -> None:
        scope: Mapping[str, Any] = self.scope
        loop = asyncio.get_running_loop()
        self._doubted = asyncio.Event()
        self._asking = asyncio.Lock()

        def on_doubt() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._doubted.set)

        self._standing = Standing(
            scope["principal"], scope.get("credential"), self.decision, on_doubt=on_doubt
        )
        await self.accept()
        if await self._stands():
            self._watch = asyncio.ensure_future(self._watching())
            await self.opened()

    async def disconnect(self, code: int) -> None:
        self._over = True
        await self.closed()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over = (
                True  # ends the watch even where its cancellation is lost to an event in the same moment
            )
            if self._standing is not None:
                self._standing.close()
            if self._watch is not None:
                self._watch.cancel()

    async def websocket_receive(self, message: Any) -> None:
        if await self._stands():
            await super().websocket_receive(message)

    async def send(  # type: ignore[override]  # as channels' own websocket consumer has it
        self, text_data: str | None = None, bytes_data: bytes | None = None, close: bool | int | str = False
    ) -> None:
        if await self._stands():
            await super().send(text_data=text_data, bytes_data=bytes_data, close=close)  # type: ignore[arg-type]

    async def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        if not self._over:
            self._over = True
            await super().close(code, reason)

    async def _stands(self) -> bool:
        if self._over or self._standing is None:
            return False
        async with self._asking:
            code = await self._standing.check()
        if code != STANDS:
            await self.close(code)
        return not self._over

    async def _watching(self) -> None:
        while await self._stands():
            assert self._standing is not None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._doubted.wait(), max(SHORTEST_REST_S, self._standing.rest_s))
            self._doubted.clear()
