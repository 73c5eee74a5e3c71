"""The model server's ASGI application in this process: who gets in, what is there, exchanges under open requests."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from inference.serving.predictions import Limits
from inference.serving.standalone.server import ModelServer, ModelServerError, Options, serve
from inference.serving.standalone.tokens import new_token
from tests.inference.serving.standalone.repositories import declare, put

INFER = "/v2/models/double/infer"
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 1, 1, 1]}]}


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    """Token by caller: `all` may call everything, `one` only `other`."""
    made = {"all": new_token(name="all", endpoints=[]), "one": new_token(name="one", endpoints=["other"])}
    (tmp_path / "tokens").write_text("\n".join(line for _token, line in made.values()))
    return {name: token for name, (token, _line) in made.items()}


@pytest.fixture
def options(tmp_path: Path, tokens: dict[str, str]) -> Options:
    root = tmp_path / "repository"
    put(root, "double", "1", factor=2)
    put(root, "other", "1", factor=7)
    return Options(repository=root, tokens=tmp_path / "tokens", poll_s=0.02)


@asynccontextmanager
async def running(options: Options, server: ModelServer | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a started server that is ready."""
    server = server or ModelServer(options)
    await server.startup()
    try:
        # The client's types know only messages with string keys and anything in them, as ours do.
        transport = httpx.ASGITransport(server)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://models") as client:
            await until(lambda: client.get("/v2/health/ready"), 200)
            yield client
    finally:
        await server.shutdown()


async def until(ask: Callable[[], Any], status: int) -> None:
    """Ask again and again until the answer has this status."""
    for _ in range(2000):
        if (await ask()).status_code == status:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never answered {status}")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_token_is_good_for_its_endpoints_only(options: Options, tokens: dict[str, str]):
    async with running(options) as client:
        for headers, path, status in (
            ({}, INFER, 401),
            (bearer("guessed"), INFER, 401),
            (bearer(tokens["one"]), INFER, 403),
            (bearer(tokens["one"]), "/v2/models/nothing/infer", 404),
            (bearer(tokens["one"]), "/v2/models/other/infer", 200),
            (bearer(tokens["all"]), INFER, 200),
            ({**bearer(tokens["all"]), "X-OpenClaw-Purpose": "No Such!"}, INFER, 400),
        ):
            answer = await client.post(path, json=BODY, headers=headers)
            assert answer.status_code == status, answer.text
            assert status == 200 or answer.json()["error"]
        answer = await client.post("/v2/repository/index", headers=bearer(tokens["one"]))
        assert [item["name"] for item in answer.json()] == ["other"]


async def test_nothing_else_is_served_on_this_port(options: Options, tokens: dict[str, str]):
    async with running(options) as client:
        for path in ("/", "/metrics", "/x/models/double", "/v2x", "/v1/models", "/admin/"):
            assert (await client.get(path, headers=bearer(tokens["all"]))).status_code == 404
        assert (await client.get("/v2")).json()["extensions"]
        assert (await client.get("/v2/health/live")).status_code == 200


async def test_a_token_that_is_taken_out_is_refused(options: Options, tokens: dict[str, str]):
    assert options.tokens is not None
    async with running(options) as client:
        ask = lambda: client.post(INFER, json=BODY, headers=bearer(tokens["all"]))  # noqa: E731
        assert (await ask()).status_code == 200
        kept = [line for line in options.tokens.read_text().splitlines() if " one " in line]
        options.tokens.write_text("\n".join(kept))
        await until(ask, 401)


async def test_not_ready_while_something_declared_cannot_be_served(options: Options, tokens: dict[str, str]):
    declare(options.repository, "coming", versions={"1": {}})
    server = ModelServer(options)
    await server.startup()
    try:
        transport = httpx.ASGITransport(server)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://models") as client:
            await until(lambda: client.post(INFER, json=BODY, headers=bearer(tokens["all"])), 200)
            assert (await client.get("/v2/health/ready")).status_code == 503
            assert (await client.get("/v2/health/live")).status_code == 200
            answer = await client.post("/v2/models/coming/infer", json=BODY, headers=bearer(tokens["all"]))
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            put(options.repository, "coming", "1")
            await until(lambda: client.get("/v2/health/ready"), 200)
    finally:
        await server.shutdown()


async def test_anonymous_only_when_asked_for(options: Options, caplog: pytest.LogCaptureFixture):
    with pytest.raises(ModelServerError, match="--allow-anonymous"):
        replace(options, tokens=None).check()
    with pytest.raises(ModelServerError, match="exclude each other"):
        replace(options, allow_anonymous=True).check()
    with pytest.raises(ModelServerError, match="cannot be read"):
        replace(options, tokens=options.repository / "none").check()
    with pytest.raises(ModelServerError, match="no folder"):
        replace(options, repository=options.repository / "none").check()
    with pytest.raises(ModelServerError, match="go together"):
        replace(options, tls_key=options.repository).check()
    with pytest.raises(ModelServerError, match="cannot be used"):
        serve(replace(options, tls_certificate=options.tokens, tls_key=options.tokens))
    with pytest.raises(ModelServerError, match="port of their own"):
        replace(options, metrics_port=options.port).check()
    async with running(replace(options, tokens=None, allow_anonymous=True)) as client:
        assert (await client.post(INFER, json=BODY)).status_code == 200
        assert (await client.post(INFER, json=BODY, headers=bearer("any"))).status_code == 200
        assert len((await client.post("/v2/repository/index")).json()) == 2
    assert "ANYBODY WHO REACHES THIS SERVER MAY CALL EVERY MODEL" in caplog.text


async def test_a_body_that_is_too_large(options: Options, tokens: dict[str, str]):
    async with running(replace(options, limits=Limits(body_bytes=1000))) as client:
        answer = await client.post(INFER, content=b" " * 1001, headers=bearer(tokens["all"]))
        assert answer.status_code == 413


async def test_a_request_admitted_before_an_exchange_is_answered_after_it(
    options: Options, tokens: dict[str, str]
):
    """Its body comes late, its version's files are gone by then: it gets an answer all the same."""
    async with running(options) as client:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            body = orjson.dumps(BODY)
            yield body[:10]
            begun.set()
            await go_on.wait()
            yield body[10:]

        async def version() -> str:
            answer = await client.post(INFER, json=BODY, headers=bearer(tokens["all"]))
            assert answer.status_code == 200
            return str(answer.json()["model_version"])

        slow = asyncio.create_task(client.post(INFER, content=slowly(), headers=bearer(tokens["all"])))
        await begun.wait()
        put(options.repository, "double", "2", factor=3)
        shutil.rmtree(options.repository / "double" / "1")
        by_name = "/v2/models/double/versions/2/infer"
        await until(lambda: client.post(by_name, json=BODY, headers=bearer(tokens["all"])), 200)
        assert await version() == "2"
        go_on.set()
        late = await slow
        assert late.status_code == 200, late.text
        assert (late.json()["model_version"], late.json()["outputs"][0]["data"][0]) == ("1", 2)
        assert await version() == "2"


async def test_one_that_was_shut_down_starts_again(options: Options, tokens: dict[str, str]) -> None:
    server = ModelServer(options)
    for _life in range(2):
        async with running(options, server) as client:
            mail = {"authorization": f"Bearer {tokens['all']}"}
            answer = await client.post(INFER, json=BODY, headers=mail)
            assert answer.json()["outputs"][0]["data"] == [2, 2, 2, 2]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://m") as client:  # type: ignore[arg-type]
        assert (await client.get("/v2/health/ready")).status_code == 404
