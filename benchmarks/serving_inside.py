"""The inference application without a server around it, for what a server's noise would hide: memory instead of a
database, the models and every other part the real ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from benchmarks.graphs import Measured
from governance.ethics.use import UNSAID, Use
from governance.ids import uuid7
from governance.principals import Principal, Role
from inference.serving.application import InferenceApplication
from inference.serving.http import Exchange
from inference.serving.lookups import (
    CachedLookups,
    CohortRule,
    EndpointSnapshot,
    Lookups,
    ShadowRule,
    Verdict,
)
from inference.serving.outcomes import Outcome, OutcomeLog
from inference.serving.pool import ModelPool

TENANT = uuid7()


@dataclass(frozen=True)
class Arm:
    """A version behind the measured endpoint."""

    version: str
    artifact_path: Path
    sha256: str
    inputs: tuple[dict[str, Any], ...]
    outputs: tuple[dict[str, Any], ...]
    weight: int = 100
    version_id: UUID = field(default_factory=uuid7)
    format: str = "onnx"
    size_bytes: int = 0
    reference: None = None


@dataclass(frozen=True)
class Endpoint:
    """The measured endpoint."""

    name: str
    arms: tuple[Arm, ...]
    id: UUID = field(default_factory=uuid7)
    tenant_id: UUID = TENANT
    cohorts: tuple[CohortRule, ...] = ()
    shadows: tuple[ShadowRule, ...] = ()
    objective_s: float | None = None


def arm_of(model: Measured, version: str) -> Arm:
    digest = sha256(model.artifact.read_bytes()).hexdigest()
    size = model.artifact.stat().st_size
    return Arm(version, model.artifact, digest, tuple(model.inputs), tuple(model.outputs), size_bytes=size)


class MemorySource:
    """`LookupSource` with one caller and one endpoint. Each call costs what a thread costs, and no database."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.current = endpoint
        roles = frozenset({Role.SERVICE})
        self.principal = Principal("client", "bench", "bench", tenant_id=TENANT, roles=roles)

    def identify(self, token: str) -> tuple[Principal, float, str] | None:
        return self.principal, time.time() + 3600, ""

    def endpoint(self, tenant_id: UUID, name: str) -> EndpointSnapshot | None:
        return self.current

    def endpoints(self, tenant_id: UUID) -> Sequence[str]:
        return [self.current.name]

    def authorize(self, principal: Principal, endpoint: EndpointSnapshot, use: Use = UNSAID) -> Verdict:
        return Verdict(True, "")


def swallow(outcomes: Sequence[Outcome]) -> None:
    """What the database's writer does with a batch before it sends it."""
    orjson.dumps(list(outcomes))


class Bench:
    """One application and the request that it is asked."""

    def __init__(
        self, source: MemorySource, body: bytes, lookups: Lookups, outcomes: OutcomeLog | None
    ) -> None:
        self.source = source
        self.cached = lookups
        self.application = InferenceApplication(lookups, pool=ModelPool(), outcomes=outcomes)
        self._body = body
        self._scope = {
            "type": "http",
            "method": "POST",
            "path": f"/v2/models/{source.current.name}/infer",
            "headers": [
                (b"authorization", b"Bearer token-of-the-benchmark"),
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
            ],
        }

    async def ask(self) -> int:
        """The status of one request."""
        exchange = Exchange(self._body)
        await self.application(self._scope, exchange.receive, exchange.send)
        return exchange.status

    def swap(self, endpoint: Endpoint) -> None:
        """Change the endpoint as a commit does: what was believed about it is forgotten."""
        self.source.current = endpoint
        if isinstance(self.cached, CachedLookups):
            self.cached.invalidate("endpoint", str(endpoint.id))


@asynccontextmanager
async def bench(
    model: Measured, *, arms: tuple[Arm, ...] = (), outcomes: bool = True
) -> AsyncIterator[Bench]:
    """A started application behind all its checks, warmed up."""
    endpoint = Endpoint(model.name, arms or (replace(arm_of(model, "1.0.0")),))
    source = MemorySource(endpoint)
    cached = CachedLookups(source)
    cached.heard(True)
    log = OutcomeLog(swallow) if outcomes else None
    made = Bench(source, orjson.dumps(model.request()), cached, log)
    await made.application.startup()
    try:
        for _ in range(200):
            await made.ask()
        yield made
    finally:
        await made.application.shutdown()
        await asyncio.sleep(0)
