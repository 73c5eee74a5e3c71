"""Under a standing queue a refusal comes before the body is parsed, where nothing in the body could change it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import orjson
import pytest

from governance.principals import Principal, Role
from inference.serving.application import InferenceApplication
from inference.serving.batching import Batcher
from inference.serving.http import Exchange
from inference.serving.lookups import Caller, EndpointSnapshot, Verdict
from inference.serving.outcomes import Outcome, OutcomeLog
from inference.serving.predictions import Limits
from tests.factories import onnx_models
from tests.factories.onnx_models import EndpointStub

TENANT = UUID(int=1)
RIGHT = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}


class OneEndpoint:
    """Everybody may call it."""

    def __init__(self, endpoint: EndpointSnapshot) -> None:
        self._endpoint = endpoint
        principal = Principal("client", "c", "c", tenant_id=TENANT, roles=frozenset({Role.SERVICE}))
        self._caller = Caller(principal, expires_at=float("inf"))

    async def identify(self, token: str) -> Caller:
        return self._caller

    async def endpoint(self, tenant_id: UUID, name: str) -> EndpointSnapshot:
        return self._endpoint

    async def endpoints(self, tenant_id: UUID) -> list[str]:
        return [self._endpoint.name]

    async def authorize(self, caller: Caller, endpoint: EndpointSnapshot, use: object = None) -> Verdict:
        return Verdict(True, "")


async def ask(application: InferenceApplication, body: bytes, version: str = "") -> tuple[int, str]:
    exchange = Exchange(body)
    path = f"/v2/models/m/versions/{version}/infer" if version else "/v2/models/m/infer"
    scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"authorization", b"Bearer t")]}
    await application(scope, exchange.receive, exchange.send)
    return exchange.status, bytes(exchange.answer).decode()


@pytest.fixture
def arm(tmp_path: Path) -> Callable[..., object]:
    return lambda version="1.0.0", weight=100: onnx_models.affine(
        tmp_path, width=3, version=version, weight=weight
    )


async def test_a_refusal_under_a_standing_queue_does_not_parse_the_body(arm, monkeypatch) -> None:
    written: list[Outcome] = []
    log = OutcomeLog(written.extend)
    application = InferenceApplication(
        OneEndpoint(EndpointStub("m", (arm(),), tenant_id=TENANT)), limits=Limits(), outcomes=log
    )
    await application.startup()
    try:
        assert (await ask(application, orjson.dumps(RIGHT)))[0] == 200
        monkeypatch.setattr(Batcher, "stands_s", lambda self, now: 0.25)
        status, answer = await ask(application, b"no JSON at all")
        assert (status, "would wait about 250 ms" in answer) == (503, True)
        # Whoever names a deadline chose to wait: that can only be read.
        patient = orjson.dumps(RIGHT | {"parameters": {"timeout": 20_000_000}})
        assert (await ask(application, patient))[0] == 200
        assert (await ask(application, b'no JSON, but "timeout"'))[0] == 400
        assert (await ask(application, b"no JSON", version="1.0.0"))[0] == 400, "a version was named"
    finally:
        await application.shutdown()
    refused = next(outcome for outcome in written if outcome.status == 503)
    answered = next(outcome for outcome in written if outcome.status == 200)
    assert refused.model_version_id == answered.model_version_id, (
        "it counts against the version that is too slow"
    )
    assert (refused.chosen, refused.propensity) == ("split", 1.0)


async def test_where_the_body_may_decide_who_answers_it_is_read(arm, monkeypatch) -> None:
    endpoint = EndpointStub("m", (arm("1.0.0", 50), arm("2.0.0", 50)), tenant_id=TENANT)
    application = InferenceApplication(OneEndpoint(endpoint), limits=Limits())
    await application.startup()
    try:
        monkeypatch.setattr(Batcher, "stands_s", lambda self, now: 0.25)
        assert (await ask(application, b"no JSON at all"))[0] == 400
        assert (await ask(application, orjson.dumps(RIGHT)))[0] == 503
    finally:
        await application.shutdown()
