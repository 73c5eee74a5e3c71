"""The inference application: Open Inference Protocol v2 over bare ASGI, beside Django and without it.

Per prediction: token → caller, endpoint, decision (all three from memory), split, tensors, micro-batch, answer. What
happened is counted and remembered behind the answer. Every refusal is `{"error": "…"}`, never a stack trace.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from governance.ethics.use import UNSAID, Use
from governance.principals import Principal
from inference.serving import descriptions, metrics
from inference.serving.bearer import BearerOnly, Prover, step_up_needed
from inference.serving.entries import CallerGone
from inference.serving.errors import ProtocolError
from inference.serving.http import (
    Exchange,
    Receive,
    RequestHeaders,
    Scope,
    Send,
    discard_body,
    respond_error,
    respond_json,
)
from inference.serving.lookups import Caller, Ear, EndpointSnapshot, Lookups
from inference.serving.outcomes import OutcomeLog
from inference.serving.pauses import shorten_collector_pauses, take_turns_often
from inference.serving.permits import Permit, forbid
from inference.serving.pool import ModelPool
from inference.serving.predictions import Limits, Prediction, Predictor
from inference.serving.referrals import Refer
from inference.serving.routing import Route, Router

if TYPE_CHECKING:
    from inference.serving.key_watch import KeyWatch

log = logging.getLogger(__name__)


class Admission(NamedTuple):
    """A caller who may invoke an endpoint for a use, and the duties that come with the answer."""

    caller: Caller
    endpoint: EndpointSnapshot
    duties: tuple[str, ...] = ()
    use: Use = UNSAID


class InferenceApplication:
    """Serves `/v2` and everything under it. `startup` and `shutdown` belong to the server's ASGI lifespan.

    After `shutdown` it can be started again, also in another event loop: nothing of the life before is left in it.
    """

    def __init__(
        self,
        lookups: Lookups,
        *,
        pool: ModelPool | None = None,
        outcomes: OutcomeLog | None = None,
        listener: Ear | None = None,
        limits: Limits | None = None,
        prover: Prover | None = None,
        refer: Refer | None = None,
        permit: Permit = forbid,
        keys: KeyWatch | None = None,
    ) -> None:
        self._lookups = lookups
        self._prover = prover or BearerOnly()
        self._permit = permit
        self._pool = pool if pool is not None else ModelPool()  # an empty one is false
        self._router = Router(self._pool, inputs=outcomes.inputs if outcomes is not None else None)
        self._keys = keys
        self._outcomes = outcomes
        self._listener = listener
        self._limits = limits or Limits()
        self._predictor = Predictor(self._router, outcomes, self._limits, refer)
        self._maintenance: asyncio.Task[None] | None = None
        self._ready = False

    @property
    def started(self) -> bool:
        """Whether requests are taken."""
        return self._ready

    @property
    def ready(self) -> bool:
        """Started, and changes are heard of. The site believes answers for a second only while it hears of none."""
        return self._ready and (self._listener is None or self._listener.connected)

    async def startup(self) -> None:
        """Begin listening for changes and writing outcomes. Must run in the event loop that serves."""
        self._pool.open()
        if self._keys is not None:
            self._keys.watch(self._router)
        if self._listener is not None:
            await self._listener.start()
        if self._outcomes is not None:
            self._outcomes.start()
        self._maintenance = asyncio.ensure_future(self._maintain())
        shorten_collector_pauses()
        take_turns_often()
        self._ready = True

    async def shutdown(self) -> None:
        """Finish what was accepted, write the last outcomes, unload the models."""
        self._ready = False
        if self._keys is not None:
            self._keys.close()
        if self._maintenance is not None:
            self._maintenance.cancel()
            with suppress(asyncio.CancelledError):
                await self._maintenance
            self._maintenance = None
        self._router.close()
        await self._pool.close()
        await self._predictor.close()
        if self._outcomes is not None:
            await self._outcomes.stop()
        if self._listener is not None:
            await self._listener.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        try:
            await self._dispatch(scope, receive, send)
        except ProtocolError as error:
            metrics.REFUSED.labels(str(error.status)).inc()
            await respond_error(send, error)
        except CallerGone:
            return
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            metrics.REFUSED.labels("500").inc()
            await respond_error(
                send, ProtocolError(500, "the server failed on this request; its log says why")
            )

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        match scope["path"].split("/")[2:]:
            case ["models", name, "infer"] if method == "POST":
                await self._infer(scope, receive, send, name, "")
            case ["models", name, "versions", version, "infer"] if method == "POST":
                await self._infer(scope, receive, send, name, version)
            case ["models", _, *rest] if rest and rest[-1] == "infer":
                raise _not_allowed("POST")
            case ["repository", "index"] if method == "POST":
                await respond_json(send, await self._index(scope))
            case ["repository", "models", name, "load" | "unload" as action] if method == "POST":
                await self._manage(scope, receive, send, name, action)
            case ["repository", "index"] | ["repository", "models", _, "load" | "unload"]:
                raise _not_allowed("POST")
            case _ if method not in ("GET", "HEAD"):
                raise _not_allowed("GET")
            case [] | [""]:
                await respond_json(send, descriptions.server())
            case ["health", "live"]:
                await respond_json(send, {"live": True})
            case ["health", "ready"]:
                await respond_json(send, {"ready": self.ready}, status=200 if self.ready else 503)
            case ["models", "stats"]:
                await respond_json(send, {"model_stats": await self._all_statistics(scope)})
            case ["models", name, *rest]:
                await self._describe(scope, send, name, rest)
            case _:
                raise ProtocolError(404, f"there is no {scope['path']} here; see GET /v2")

    async def _infer(self, scope: Scope, receive: Receive, send: Send, name: str, version: str) -> None:
        started = time.perf_counter()
        headers = RequestHeaders.of(scope)
        try:
            caller, endpoint, duties, use = await self._admit(scope, headers, name)
        except ProtocolError:
            await discard_body(receive, limit=self._limits.body_bytes)
            raise
        prediction = Prediction(started, caller, endpoint, headers, version, duties, use)
        await self._predictor.answer(prediction, receive, send)

    async def _admit(self, scope: Scope, headers: RequestHeaders, name: str) -> Admission:
        """The caller and the endpoint, or the refusal. Nothing of the body has been read yet."""
        caller = await self._identify(scope, headers)
        use = headers.use
        return Admission(caller, *await self._endpoint_for(caller, name, use), use)

    async def _endpoint_for(
        self, caller: Caller, name: str, use: Use
    ) -> tuple[EndpointSnapshot, tuple[str, ...]]:
        tenant_id = caller.principal.tenant_id
        endpoint = await self._lookups.endpoint(tenant_id, name) if tenant_id and name else None
        if endpoint is None:
            raise ProtocolError(404, f'there is no endpoint "{name}" in your organisation')
        verdict = await self._lookups.authorize(caller, endpoint, use)
        if not verdict.allow:
            if verdict.step_up is not None:
                raise step_up_needed(caller, verdict.step_up, verdict.reason)
            raise ProtocolError(403, f'you may not invoke endpoint "{name}": {verdict.reason}')
        return endpoint, verdict.duties

    # --- For faces in the same process that have identified the caller themselves ------------------------------------

    async def admit_principal(self, principal: Principal, name: str, use: Use = UNSAID) -> Admission:
        """The endpoint that a principal may invoke. Raises ProtocolError."""
        caller = Caller(principal, expires_at=math.inf)
        return Admission(caller, *await self._endpoint_for(caller, name, use), use)

    async def answer_body(self, admission: Admission, body: bytes, *, version: str = "") -> tuple[int, bytes]:
        """Status and body of the answer to an inference request, exactly as `/v2` would give them."""
        exchange = Exchange(body)
        caller, endpoint, duties, use = admission
        prediction = Prediction(time.perf_counter(), caller, endpoint, RequestHeaders(), version, duties, use)
        await self._predictor.answer(prediction, exchange.receive, exchange.send)
        return exchange.status, bytes(exchange.answer)

    async def _identify(self, scope: Scope, headers: RequestHeaders) -> Caller:
        token = headers.token
        caller = await self._lookups.identify(token) if token else None
        if caller is None or caller.jkt:
            return await self._prover.caller(scope, self._lookups)
        return caller

    # --- Descriptions ----------------------------------------------------------------------------------------------

    async def _describe(self, scope: Scope, send: Send, name: str, rest: list[str]) -> None:
        """Metadata, readiness, configuration and statistics of one endpoint, or of one of its versions."""
        version = ""
        if rest[:1] == ["versions"] and len(rest) > 1:
            version, rest = rest[1], rest[2:]
        if rest not in ([], ["ready"], ["config"], ["stats"]):
            raise ProtocolError(404, f"there is no {scope['path']} here; see GET /v2")
        endpoint = (await self._admit(scope, RequestHeaders.of(scope), name)).endpoint
        route = self._router.route(endpoint)
        if rest == ["ready"]:
            ready = await self._is_ready(endpoint, version)
            await respond_json(send, {"name": name, "ready": ready}, status=200 if ready else 503)
        elif rest == ["stats"]:
            await respond_json(send, {"model_stats": descriptions.statistics(route, version)})
        elif rest == ["config"]:
            await respond_json(send, descriptions.configuration(route, version))
        else:
            await respond_json(send, descriptions.metadata(route, version))

    async def _is_ready(self, endpoint: EndpointSnapshot, version: str) -> bool:
        """Whether a request would be answered: the model is loaded, and loaded now if it was not, and would compute."""
        try:
            choice = await self._router.pick(self._router.route(endpoint), version=version)
        except ProtocolError as error:
            if error.status != 503:
                raise
            return False
        return await asyncio.to_thread(choice.model.runtime.ready)

    async def _manage(self, scope: Scope, receive: Receive, send: Send, name: str, action: str) -> None:
        """Load or unload the versions of an endpoint in this process.

        Loading makes every version ready before it answers; 503 when one cannot be. Unloading gives their memory back
        after their last request, and takes nothing away: whoever asks next has them loaded again. Other processes of
        the site, and the registry, are not touched by either.
        """
        await discard_body(receive, limit=self._limits.body_bytes)
        admission = await self._admit(scope, RequestHeaders.of(scope), name)
        endpoint = admission.endpoint
        await self._permit(admission.caller.principal, endpoint, action)
        if action == "load":
            route = self._router.route(endpoint)
            for version in route.by_version:
                await self._router.pick(route, version=version)
        else:
            for arm in endpoint.arms:
                self._pool.release(arm.version_id)
        await respond_json(send, {})

    async def _index(self, scope: Scope) -> list[dict[str, Any]]:
        """Every version behind every endpoint that the caller may invoke."""
        return [item for route in await self._routes(scope) for item in descriptions.index(route)]

    async def _all_statistics(self, scope: Scope) -> list[dict[str, Any]]:
        return [item for route in await self._routes(scope) for item in descriptions.statistics(route)]

    async def _routes(self, scope: Scope) -> list[Route]:
        headers = RequestHeaders.of(scope)
        caller, use = await self._identify(scope, headers), headers.use
        tenant_id = caller.principal.tenant_id
        if tenant_id is None:
            return []
        routes = []
        for name in await self._lookups.endpoints(tenant_id):
            endpoint = await self._lookups.endpoint(tenant_id, name)
            if endpoint is not None and (await self._lookups.authorize(caller, endpoint, use)).allow:
                routes.append(self._router.route(endpoint))
        return routes

    async def _maintain(self) -> None:
        while True:
            await asyncio.sleep(self._limits.maintenance_interval_s)
            self._router.drop_idle()


def _not_allowed(method: str) -> ProtocolError:
    return ProtocolError(405, f"use {method} here", headers=((b"allow", method.encode()),))
