"""An inference application that was shut down starts again, and nothing of its life before is left in it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from governance.access.recorder import recorder
from governance.decision import Decision
from governance.ethics.use import UNSAID, Use
from governance.principals import Principal, Role
from governance.tenants.context import tenant_context
from inference.serving.application import InferenceApplication
from inference.serving.errors import Overloaded
from inference.serving.http import Exchange
from inference.serving.key_watch import KeyWatch
from inference.serving.listener import Hearers, Listener
from inference.serving.lookups import CachedLookups, EndpointSnapshot, Verdict
from inference.serving.outcomes import Outcome, OutcomeLog
from inference.serving.pool import NO_TRIAL, ModelPool
from inference.serving.runtime import Runtime
from inference.serving.runtimes import Runtimes
from inference.serving.signature import Signature
from tests.factories import onnx_models
from tests.factories.onnx_models import EndpointStub

TENANT = uuid4()
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
CLIENT = Principal("client", "c", "a client", roles=frozenset({Role.SERVICE}), tenant_id=TENANT)
YES = Decision(True, "rollouts.endpoint.invoke", "granted", CLIENT)


class Source:
    """The truth: one endpoint, whose callers are whoever has a token."""

    def __init__(self, endpoint: EndpointStub) -> None:
        self.found = endpoint
        self.asked = 0

    def identify(self, token: str) -> tuple[Principal, float, str] | None:
        self.asked += 1
        return CLIENT, time.time() + 60, ""

    def endpoint(self, tenant_id: UUID, name: str) -> EndpointSnapshot | None:
        return self.found

    def endpoints(self, tenant_id: UUID) -> Sequence[str]:
        return [self.found.name]

    def authorize(self, principal: Principal, endpoint: EndpointSnapshot, use: Use = UNSAID) -> Verdict:
        return Verdict(True, "granted", decision=YES)


class QuietHub:
    """A line that is there from the start; says what it is told to say."""

    def __init__(self) -> None:
        self.connected = True
        self.subscribers: list[Callable[..., None]] = []

    def subscribe(self, callback: Callable[..., None]) -> Callable[[], None]:
        self.subscribers.append(callback)
        return lambda: self.subscribers.remove(callback)

    def subscribe_state(self, callback: Callable[[bool], None]) -> Callable[[], None]:
        callback(True)
        return self.subscribe(lambda *said: None)

    def start(self, *, wait_s: float) -> bool:
        return True


class World:
    """An application on files, with everything that the site's has but the database."""

    def __init__(self, folder: Path, *, loader: Runtimes | None = None) -> None:
        self.source = Source(EndpointStub("double", (onnx_models.affine(folder),), tenant_id=TENANT))
        self.lookups = CachedLookups(self.source)
        self.rows: list[Outcome] = []
        self.pool = ModelPool(loader=loader)
        self.hub = QuietHub()
        self.destroyed: set[UUID] = set()
        self.keys = KeyWatch(lambda tenant: tenant in self.destroyed)
        self.application = InferenceApplication(
            self.lookups,
            pool=self.pool,
            outcomes=OutcomeLog(self.rows.extend),
            listener=Listener(Hearers(self.lookups, self.keys), source=self.hub),  # type: ignore[arg-type]
            keys=self.keys,
        )

    async def infer(self) -> tuple[int, dict[str, Any]]:
        exchange = Exchange(json.dumps(BODY).encode())
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v2/models/double/infer",
            "headers": [(b"authorization", b"Bearer t")],
        }
        await self.application(scope, exchange.receive, exchange.send)
        return exchange.status, json.loads(bytes(exchange.answer))

    async def life(self) -> None:
        """Start, answer, shut down."""
        await self.application.startup()
        assert self.application.ready
        status, answer = await self.infer()
        assert (status, answer["outputs"][0]["data"]) == (200, [2, 4, 6, 8])
        await self.application.shutdown()
        assert not self.application.started


def model_threads() -> int:
    return sum(thread.name.startswith("model ") for thread in threading.enumerate())


def test_it_starts_answers_and_shuts_down_again_and_again_each_time_in_a_loop_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(recorder, "count", lambda decision, uses: told.append(uses))
    before = model_threads()
    world = World(tmp_path)

    async def life() -> None:
        await world.life()
        assert (len(world.pool), world.hub.subscribers) == (0, [])

    for number in range(1, 4):
        asyncio.run(life())
        assert model_threads() == before
        assert len(world.rows) == number, "each life writes its last outcomes"
        assert world.source.asked == number, "nothing that was believed before is believed in the next life"
    world.lookups.close()


def test_what_is_counted_is_told_before_the_loop_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(recorder, "count", lambda decision, uses: told.append(uses))
    world = World(tmp_path)

    async def life() -> None:
        await world.application.startup()
        for _again in range(4):
            assert (await world.infer())[0] == 200
        await world.application.shutdown()

    for _life in range(2):
        asyncio.run(life())
    assert told == [3, 3], "the first of each life was decided, the others are counted"
    world.lookups.close()


async def test_a_key_that_is_destroyed_in_the_second_life_takes_the_model_along(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.life()
    await world.application.startup()
    assert (await world.infer())[0] == 200
    world.destroyed.add(TENANT)
    for say in list(world.hub.subscribers):
        say("key", str(TENANT))
    await asyncio.sleep(0)  # it is handed over to the loop
    await asyncio.gather(*world.keys._asking.values())
    assert len(world.pool) == 0
    await world.application.shutdown()
    world.lookups.close()


class Held(Runtimes):
    """Loads when it is let."""

    def __init__(self) -> None:
        super().__init__(NO_TRIAL)
        self.begun, self.go = threading.Event(), threading.Event()
        self.closed = 0

    def load(self, arm: Any, signature: Signature) -> Runtime:
        self.begun.set()
        assert self.go.wait(10)
        runtime = super().load(arm, signature)
        close = runtime.close

        def closing() -> None:
            self.closed += 1
            close()

        runtime.close = closing  # type: ignore[method-assign]
        return runtime


async def test_what_was_being_loaded_is_given_back_and_loads_anew_in_the_next_life(tmp_path: Path) -> None:
    loader = Held()
    world = World(tmp_path, loader=loader)
    await world.application.startup()
    asked = asyncio.ensure_future(world.infer())
    await asyncio.to_thread(loader.begun.wait, 10)
    closing, close = asyncio.Event(), world.pool.close

    async def noted() -> None:
        asyncio.get_running_loop().call_soon(closing.set)
        await close()

    world.pool.close = noted  # type: ignore[method-assign]
    ending = asyncio.ensure_future(world.application.shutdown())
    await closing.wait()
    with pytest.raises(Overloaded, match="shutting down"):
        await world.pool.get(onnx_models.affine(tmp_path, factor=3.0))
    loader.go.set()
    status, answer = await asked
    await ending
    assert (status, "shutting down" in answer["error"]) == (503, True)
    assert (len(world.pool), loader.closed) == (0, 1)
    await world.life()
    assert loader.closed == 2
    world.lookups.close()


@pytest.mark.django_db(transaction=True)
def test_the_sites_own_application_starts_again_on_the_real_database(org: Any, principal_for: Any) -> None:
    from inference.rollouts.services import grant_invoke, revoke_invoke
    from inference.serving.asgi import build_application
    from tests.factories.governance import bearer_token, make_application
    from tests.factories.inference import make_endpoint, make_version

    admin = principal_for(org, Role.TENANT_ADMIN)
    endpoint = make_endpoint(admin, make_version(admin))
    client, secret = make_application(org, scopes=["models:infer"])
    grants = {"principal": admin, "endpoint_id": endpoint.id, "application_id": client.id}
    token = bearer_token(client, secret).encode()
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
    application = build_application()

    async def life() -> int:
        await application.startup()
        exchange = Exchange(json.dumps(body).encode())
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v2/models/adder/infer",
            "headers": [(b"authorization", b"Bearer " + token)],
        }
        await application(scope, exchange.receive, exchange.send)
        await application.shutdown()
        return exchange.status

    seen = []
    for change in (grant_invoke, revoke_invoke, grant_invoke):
        with tenant_context(org.id):
            change(**grants)
        seen.append(asyncio.run(life()))
    assert seen == [200, 403, 200], "what was believed in a life before is not believed in the next one"
