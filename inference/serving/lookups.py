"""What the hot route asks about the world: who calls, what an endpoint is, and whether the one may invoke the other.

`Lookups` is the port; `CachedLookups` answers it from memory and asks a slow `LookupSource` (the database) on a miss.
A revocation or a change reaches the caches by topic through `invalidate`, fed by PostgreSQL NOTIFY. While nobody
listens, entries are believed for one second only, so that the promise "within a second" needs no listener.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol
from uuid import UUID

from governance.access.rates import RateWatch, watch
from governance.access.recorder import recorder
from governance.decision import Decision, StepUp
from governance.ethics.use import UNSAID, Use
from governance.principals import Principal
from inference.serving.artifacts import ArtifactFile
from inference.serving.cache import FlightCache, SingleFlight
from inference.serving.caller_rates import CallerRates
from inference.serving.errors import Overloaded
from inference.serving.input_counts import Referenced

log = logging.getLogger(__name__)

MAX_AGE_UNHEARD_S = 1.0
NEGATIVE_AGE_S = 1.0
# Endpoints times purposes that one caller may have answers for: a caller who makes up purposes only forgets its own.
MAX_DECISIONS = 1_000
TELL_USES_S = 2.0


class Arm(Protocol):
    """One version behind an endpoint. `weight` is in percent."""

    @property
    def version_id(self) -> UUID: ...
    @property
    def version(self) -> str: ...
    @property
    def weight(self) -> int: ...
    @property
    def format(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def artifact_path(self) -> ArtifactFile: ...
    @property
    def sha256(self) -> str: ...
    @property
    def inputs(self) -> Sequence[dict[str, Any]]: ...
    @property
    def outputs(self) -> Sequence[dict[str, Any]]: ...
    @property
    def reference(self) -> Referenced | None:
        """What its training data looked like, where its inputs are to be counted."""


class CohortRule(Protocol):
    """Who is answered by one version whatever the split says: by the cohort's name in a header, or by being listed."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def members(self) -> Sequence[str]: ...


class ShadowRule(Protocol):
    """A version that computes a share (in percent) of the requests once more, behind their answers."""

    @property
    def version(self) -> str: ...
    @property
    def percent(self) -> int: ...


class EndpointSnapshot(Protocol):
    """An endpoint as it was when it was read. Two snapshots that are equal describe the same routing."""

    @property
    def id(self) -> UUID: ...
    @property
    def tenant_id(self) -> UUID: ...
    @property
    def name(self) -> str: ...
    @property
    def arms(self) -> Sequence[Arm]: ...
    @property
    def cohorts(self) -> Sequence[CohortRule]: ...
    @property
    def shadows(self) -> Sequence[ShadowRule]: ...
    @property
    def objective_s(self) -> float | None:
        """Its latency objective; None: that of the installation."""


@dataclass(slots=True, eq=False)
class Caller:
    """A verified token. `expires_at` is in seconds since the epoch; `in_flight` counts the caller's open requests.

    With a `jkt` every request must bring a proof by that key (RFC 9449). `uncounted` are requests that the watch over
    unusual rates has not heard of yet.
    """

    principal: Principal
    expires_at: float
    jkt: str = ""
    in_flight: int = 0
    uncounted: int = 0
    decisions: dict[tuple[UUID, str], Verdict] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Verdict:
    """A decision of the policy decision point, with what is needed to know whether it still stands.

    `valid_until` (seconds since the epoch) is how long it may be kept though nothing changes. `step_up` is what would
    turn a refusal into a yes. `uses` counts answers from memory that the `decision`'s record has not heard of yet.
    """

    allow: bool
    reason: str
    valid_until: float = math.inf
    step_up: StepUp | None = None
    decision: Decision | None = None
    decided_at: float = 0.0
    generation: int = 0
    uses: int = 0

    @property
    def duties(self) -> tuple[str, ...]:
        """The obligations that come with a yes."""
        return self.decision.obligations if self.decision is not None else ()


class Lookups(Protocol):
    """What the inference application needs to know. Every method may be answered from memory."""

    async def identify(self, token: str) -> Caller | None:
        """The caller behind an access token; None when the token is unknown, expired or revoked."""

    async def endpoint(self, tenant_id: UUID, name: str) -> EndpointSnapshot | None:
        """The tenant's endpoint of that name."""

    async def endpoints(self, tenant_id: UUID) -> Sequence[str]:
        """The names of the tenant's endpoints."""

    async def authorize(self, caller: Caller, endpoint: EndpointSnapshot, use: Use = UNSAID) -> Verdict:
        """Whether the caller may invoke the endpoint for this use."""


class Ear(Protocol):
    """Hears of what changes the answers of `Lookups`. A server that hears nothing is not ready."""

    @property
    def connected(self) -> bool:
        """Whether changes are heard of now."""

    async def start(self) -> None:
        """Begin to hear, in the running event loop."""

    async def stop(self) -> None:
        """Hear no more."""


class LookupSource(Protocol):
    """The truth behind `CachedLookups`: blocking calls, each in a thread of its own and in its own transaction."""

    def identify(self, token: str) -> tuple[Principal, float, str] | None: ...
    def endpoint(self, tenant_id: UUID, name: str) -> EndpointSnapshot | None: ...
    def endpoints(self, tenant_id: UUID) -> Sequence[str]: ...
    def authorize(self, principal: Principal, endpoint: EndpointSnapshot, use: Use = UNSAID) -> Verdict: ...


class CachedLookups:
    """`Lookups` from memory. Bounded, least recently used out first, one load per missing key at a time.

    `max_age_s` is how long an entry is believed while changes are heard of. Tokens are kept by their SHA-256, never
    as they are. Unknown tokens have a small cache of their own, so that guessing cannot push out those in use.
    """

    def __init__(
        self,
        source: LookupSource,
        *,
        max_age_s: float = 60.0,
        max_tokens: int = 10_000,
        max_endpoints: int = 10_000,
        max_waiting: int = 256,
        clock: Callable[[], float] = time.monotonic,
        rates: RateWatch = watch,
    ) -> None:
        self._source = source
        self._max_age_s = max_age_s
        self._clock = clock
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="lookup")
        self._callers: FlightCache[bytes, Caller] = FlightCache(max_tokens, max_waiting)
        self._endpoints: FlightCache[tuple[UUID, str], EndpointSnapshot] = FlightCache(
            max_endpoints, max_waiting
        )
        self._names: FlightCache[UUID, Sequence[str]] = FlightCache(1_000, max_waiting)
        self._deciding: SingleFlight[tuple[Caller, Principal, UUID, Use, int], Verdict] = SingleFlight(
            max_waiting
        )
        self._rates = CallerRates(rates)
        self._generation = 0
        self._used: list[Verdict] = []
        self.heard(False)

    def heard(self, connected: bool) -> None:
        """Told by the listener whether changes are heard of. Nothing from before a gap is believed.

        In a gap the event loop may end, so what is counted is told before it.
        """
        if not connected:
            self._tell_uses()
            self._rates.judge()
        self._age_s = self._max_age_s if connected else MAX_AGE_UNHEARD_S
        self.clear()

    def clear(self) -> None:
        """Believe nothing any more."""
        self._generation += 1
        for cache in (self._callers, self._endpoints, self._names):
            cache.clear()

    def invalidate(self, topic: str, key: str) -> None:
        """Forget what a change makes doubtful. An unknown topic clears everything."""
        if topic == "token":
            self._callers.discard(bytes.fromhex(key) if _is_checksum(key) else None)
        elif topic in ("application", "membership", "user"):
            self._callers.clear()
        elif topic in ("grant", "policy", "stop", "asset"):
            self._generation += 1
        elif topic == "endpoint":
            self._generation += 1
            self._endpoints.clear()
            self._names.clear()
        elif topic not in (
            "session",
            "event",
        ):  # of people at their browsers: nothing is remembered about them here
            self.clear()

    async def identify(self, token: str) -> Caller | None:
        key = sha256(token.encode()).digest()
        caller = self._callers.fresh(key, self._clock() - self._age_s)
        if caller is None:
            caller = await self._callers.load(
                key, lambda: self._call(self._load_caller, token), self._clock, absent_age_s=NEGATIVE_AGE_S
            )
        if caller is None or caller.expires_at <= time.time():
            return None
        self._rates.count(caller)
        return caller

    async def endpoint(self, tenant_id: UUID, name: str) -> EndpointSnapshot | None:
        key = (tenant_id, name)
        known = self._endpoints.fresh(key, self._clock() - self._age_s)
        if known is not None:
            return known
        return await self._endpoints.load(
            key,
            lambda: self._call(self._source.endpoint, tenant_id, name),
            self._clock,
            absent_age_s=min(NEGATIVE_AGE_S, self._age_s),
        )

    async def endpoints(self, tenant_id: UUID) -> Sequence[str]:
        known = self._names.fresh(tenant_id, self._clock() - self._age_s)
        if known is not None:
            return known
        names = await self._names.load(
            tenant_id, lambda: self._call(self._source.endpoints, tenant_id), self._clock
        )
        return names or ()

    async def authorize(self, caller: Caller, endpoint: EndpointSnapshot, use: Use = UNSAID) -> Verdict:
        key = (endpoint.id, use.purpose)
        # An amount makes every request a question of its own, so its answer is not kept.
        known = caller.decisions.get(key) if use.amount is None else None
        if (
            known is not None
            and known.generation == self._generation
            and known.decided_at > self._clock() - self._age_s
            and known.valid_until > time.time()
        ):
            if not known.uses:
                self._remember_use(known)
            known.uses += 1
            return known
        generation, principal = self._generation, caller.principal
        verdict = await self._deciding.run(
            (caller, principal, endpoint.id, use, generation),
            lambda: self._call(self._decide, principal, endpoint, generation, use),
        )
        # What was decided about somebody of whom we have become less sure meanwhile is not kept.
        if use.amount is None and caller.principal is principal:
            if len(caller.decisions) >= MAX_DECISIONS:
                caller.decisions.clear()
            # Kept with the verified token, so that the decision dies with it.
            caller.decisions[key] = verdict
        return verdict

    def close(self) -> None:
        """Tell the record what is counted, and end the threads."""
        self._tell_uses()
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Ask the source in a thread. When it cannot answer nobody gets in: 503, never a guess."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
        except Exception:
            log.exception("a look-up failed")
            raise Overloaded(
                "identities and endpoints cannot be looked up at present; try again shortly"
            ) from None

    def _load_caller(self, token: str) -> Caller | None:
        found = self._source.identify(token)
        return Caller(*found) if found else None

    def _decide(self, principal: Principal, endpoint: EndpointSnapshot, generation: int, use: Use) -> Verdict:
        started = self._clock()
        verdict = self._source.authorize(principal, endpoint, use)
        verdict.decided_at, verdict.generation = started, generation
        return verdict

    def _remember_use(self, verdict: Verdict) -> None:
        if not self._used:
            asyncio.get_running_loop().call_later(TELL_USES_S, self._tell_uses)
        self._used.append(verdict)

    def _tell_uses(self) -> None:
        """Every answer from memory is counted in the record of decisions, some seconds later."""
        used, self._used = self._used, []
        for verdict in used:
            if verdict.decision is not None:
                recorder.count(verdict.decision, verdict.uses)
            verdict.uses = 0


def _is_checksum(key: str) -> bool:
    return len(key) == 64 and all(character in "0123456789abcdef" for character in key)
