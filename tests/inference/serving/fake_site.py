"""The inference application alone under a real granian server: known models, fixed callers, no database.

Started by the fixture `served` in a process of its own; `OPENCLAW_FAKE_SITE` names the folder for the models.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from governance.ethics.use import UNSAID, Use
from governance.principals import Principal, Role
from inference.serving.application import InferenceApplication
from inference.serving.lookups import Caller, EndpointSnapshot, Verdict
from inference.serving.permits import forbid
from inference.serving.pool import ModelPool
from inference.serving.predictions import Limits
from tests.factories import onnx_models
from tests.factories.onnx_models import EndpointStub
from tests.inference.serving.fake_site_values import BODY_S, DATATYPES, EXPIRED, STRANGER, TENANT, TOKEN


class FixedLookups:
    """`Lookups` with answers that never change."""

    def __init__(self, endpoints: Sequence[EndpointStub]) -> None:
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self._callers = {
            TOKEN: self._caller("caller", 3600),
            STRANGER: self._caller("stranger", 3600),
            EXPIRED: self._caller("caller", -1),
        }

    async def identify(self, token: str) -> Caller | None:
        caller = self._callers.get(token)
        return caller if caller is not None and caller.expires_at > time.time() else None

    async def endpoint(self, tenant_id: UUID, name: str) -> EndpointSnapshot | None:
        return self._endpoints.get(name)

    async def endpoints(self, tenant_id: UUID) -> Sequence[str]:
        return sorted(self._endpoints)

    async def authorize(self, caller: Caller, endpoint: EndpointSnapshot, use: Use = UNSAID) -> Verdict:
        allow = caller.principal.id == "caller"
        return Verdict(allow, "role developer" if allow else "no grant")

    @staticmethod
    def _caller(name: str, seconds: float) -> Caller:
        principal = Principal("client", name, name, tenant_id=TENANT, roles=frozenset({Role.SERVICE}))
        return Caller(principal, time.time() + seconds)


def endpoints(folder: Path) -> list[EndpointStub]:
    """The models of the fake site."""
    made: dict[str, tuple[Any, ...]] = {
        "every-type": (onnx_models.identity(folder, *DATATYPES),),
        "double": (onnx_models.affine(folder),),
        "by-hand": (
            onnx_models.affine(folder, factor=4.0, version="1", weight=100),
            onnx_models.affine(folder, factor=4.5, version="2", weight=0),
        ),
        "mixed": (onnx_models.row_mixing(folder),),
        "slow": (onnx_models.slow(folder),),
        "slow-one-by-one": (onnx_models.slow(folder, rows=1),),
        "table": (onnx_models.lookup_table(folder),),
        "split": (
            onnx_models.affine(folder, factor=1.0, version="1.0.0", weight=90),
            onnx_models.affine(folder, factor=2.0, version="2.0.0", weight=10),
            onnx_models.affine(folder, factor=3.0, version="3.0.0", weight=0),
        ),
        "tampered": (replace(onnx_models.affine(folder, factor=9.0), sha256="0" * 64),),
        "half-broken": (
            onnx_models.affine(folder, factor=5.0, version="good", weight=50),
            replace(
                onnx_models.affine(folder, factor=6.0, version="broken", weight=50),
                artifact_path=folder / "gone",
            ),
        ),
    }
    return [EndpointStub(name, arms, tenant_id=TENANT) for name, arms in made.items()]


async def permit(principal: Principal, endpoint: EndpointSnapshot, action: str) -> None:
    """The caller may load and unload what "by-hand" has, and nothing else."""
    if endpoint.name not in ("by-hand", "tampered"):
        await forbid(principal, endpoint, action)


_folder = Path(os.environ["OPENCLAW_FAKE_SITE"])
_inference = InferenceApplication(
    FixedLookups(endpoints(_folder)),
    pool=ModelPool(max_queued=64),
    limits=Limits(body_bytes=1024 * 1024, caller_in_flight=80, body_s=BODY_S),
    permit=permit,
)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI: the lifespan, and everything else to the inference application."""
    if scope["type"] != "lifespan":
        await _inference(scope, receive, send)
        return
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await _inference.startup()
            await send({"type": "lifespan.startup.complete"})
        else:
            await _inference.shutdown()
            await send({"type": "lifespan.shutdown.complete"})
            return
