"""Tokens on the hot route that are not plain bearer tokens: bound ones with their proofs, and those not accepted.

A good bearer token never comes here. A proof costs its signature (about 0.15 ms, in the event loop) and one question
to Valkey whether it was used before; while Valkey is away, no bound token is accepted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

import redis.asyncio
from django.conf import settings

from governance.access.challenges import TokenRefused
from governance.access.credentials import check_binding, presented_in, unknown_token
from governance.access.dpop import Proof
from governance.access.replay import PREFIX, REMEMBERED_S, replayed, unknown
from governance.principals import Principal
from inference.serving.bearer import authenticate, unidentified
from inference.serving.errors import ProtocolError
from inference.serving.http import Scope
from inference.serving.lookups import Caller, Lookups

log = logging.getLogger(__name__)

ANSWER_S = 1.0


class Replays(Protocol):
    """Who remembers proofs."""

    async def first_use(self, key: str) -> bool:
        """Whether `key` is seen for the first time. Raises RedisError or OSError when nobody can tell."""


class ValkeyReplays:
    """Remembers proofs in Valkey, for every web process. Belongs to one event loop."""

    def __init__(self) -> None:
        self._client: redis.asyncio.Redis | None = None

    async def first_use(self, key: str) -> bool:
        if self._client is None:
            self._client = redis.asyncio.Redis.from_url(
                settings.REDIS_URL, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S
            )
        return bool(await self._client.set(f"{PREFIX}{key}", 1, nx=True, ex=REMEMBERED_S))

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


class Proofs:
    """`Prover` of the site: finds the caller behind a token that is bound to a key.

    `note` keeps a refusal whose owner is known; it may block.
    """

    def __init__(
        self, replays: Replays | None = None, *, note: Callable[[TokenRefused], None] | None = None
    ) -> None:
        self._replays = replays or ValkeyReplays()
        self._note = note

    async def caller(self, scope: Scope, lookups: Lookups) -> Caller:
        """The caller, proven. Raises ProtocolError (401, or 503 while proofs cannot be checked)."""
        try:
            return await self._prove(scope, lookups)
        except TokenRefused as refused:
            await self._keep(refused)
            raise _answer(refused) from None

    async def _prove(self, scope: Scope, lookups: Lookups) -> Caller:
        presented = presented_in(scope)
        if presented is None:
            raise unidentified("")
        caller = await lookups.identify(presented.token) if presented.plausible else None
        if caller is None:
            raise unknown_token(presented.scheme)
        proof = check_binding(caller.jkt, presented, caller.principal)
        if proof is not None:
            await self._use_once(proof, caller.principal)
        return caller

    async def _use_once(self, proof: Proof, principal: Principal) -> None:
        try:
            first = await self._replays.first_use(proof.replay_key)
        except (redis.RedisError, OSError) as error:
            log.warning("whether a proof was used before cannot be told: %s", error)
            raise unknown() from None
        if not first:
            raise replayed(principal)

    async def _keep(self, refused: TokenRefused) -> None:
        if self._note is None or refused.principal is None:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._note, refused)
        except Exception:
            log.exception("a refused token could not be kept in the audit log")


def _answer(refused: TokenRefused) -> ProtocolError:
    headers = [authenticate(refused.challenge) if refused.status == 401 else (b"retry-after", b"5")]
    if refused.nonce:
        headers.append((b"dpop-nonce", refused.nonce.encode()))
    how = " (Authorization: Bearer …)" if refused.scheme == "Bearer" else ""
    return ProtocolError(refused.status, f"{refused.message}{how}", headers=tuple(headers))
