"""The hot route's answers on a model server: from the token file and the repository, both in memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from uuid import UUID

from governance.ethics.use import UNSAID, Use
from inference.serving.errors import Overloaded
from inference.serving.http import Scope
from inference.serving.lookups import Caller, EndpointSnapshot, Lookups, Verdict
from inference.serving.standalone.tokens import TENANT, TokenCaller, TokenFile, nobody_in_particular
from inference.serving.standalone.watcher import RepositoryWatcher

log = logging.getLogger(__name__)

TOKENS_POLL_S = 0.5

_YES = Verdict(True, "the token is good for this endpoint")
_NO = Verdict(False, "the token is not good for this endpoint")


class RepositoryLookups:
    """`Lookups` on files. Without tokens nobody is identified here; `Anyone` then admits all, if that was asked for."""

    def __init__(self, watcher: RepositoryWatcher, tokens: TokenFile | None) -> None:
        self._watcher = watcher
        self._tokens = tokens

    async def identify(self, token: str) -> Caller | None:
        caller = self._tokens.caller(token) if self._tokens is not None else None
        return caller if caller is not None and caller.expires_at > time.time() else None

    async def endpoint(self, tenant_id: UUID, name: str) -> EndpointSnapshot | None:
        if tenant_id != TENANT:
            return None
        found = self._watcher.endpoints.get(name)
        if found is None and not self._watcher.warm:
            raise Overloaded("the models are still being loaded; try again shortly", retry_after_s=5)
        return found

    async def endpoints(self, tenant_id: UUID) -> Sequence[str]:
        return sorted(self._watcher.endpoints) if tenant_id == TENANT else ()

    async def authorize(self, caller: Caller, endpoint: EndpointSnapshot, use: Use = UNSAID) -> Verdict:
        allowed = isinstance(caller, TokenCaller) and (
            caller.endpoints is None or endpoint.name in caller.endpoints
        )
        return _YES if allowed else _NO


class Anyone:
    """`Prover` of a server that was told to ask for no token."""

    async def caller(self, scope: Scope, lookups: Lookups) -> Caller:
        return nobody_in_particular()


class FileEar:
    """`Ear` of a model server: looks at the repository and the token file again and again, each at its own pace.

    Connected, so that the server is ready, once the repository is warm. A token that is taken out of the file is
    refused within a second, also while a large model is being loaded.
    """

    def __init__(self, watcher: RepositoryWatcher, tokens: TokenFile | None, *, poll_s: float) -> None:
        self._watcher = watcher
        self._tokens = tokens
        self._poll_s = poll_s
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def connected(self) -> bool:
        return self._watcher.warm

    async def start(self) -> None:
        self._tasks.append(asyncio.create_task(_again_and_again(self._watcher.check, self._poll_s)))
        if self._tokens is not None:
            refresh = self._tokens.refresh
            self._tasks.append(
                asyncio.create_task(_again_and_again(lambda: asyncio.to_thread(refresh), TOKENS_POLL_S))
            )

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()


async def _again_and_again(look: Callable[[], Awaitable[None]], pause_s: float) -> None:
    while True:
        try:
            await look()
        except Exception:
            log.exception("a look at the files failed; the next one comes in %g s", pause_s)
        await asyncio.sleep(pause_s)
