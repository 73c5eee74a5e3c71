"""Bodies that lie, trickle or end early: the protocol's error, and nothing stuck. Raw sockets, no client's manners."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
import numpy as np
import pytest

from tests.inference.serving import fake_site_values as site

INFER = "/v2/models/double/infer"


def head(*lines: str) -> bytes:
    return "\r\n".join(
        [f"POST {INFER} HTTP/1.1", "Host: t", f"Authorization: Bearer {site.TOKEN}", *lines, "", ""]
    ).encode()


async def exchange(served: str, *parts: bytes, pause_s: float = 0.0) -> tuple[int, bytes]:
    """Send the parts and read one answer; status 0 when the server closes without one."""
    host, port = served.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = asyncio.ensure_future(_answer(reader))
    try:
        for part in parts:
            if answer.done():  # The server has had enough.
                break
            writer.write(part)
            await asyncio.sleep(pause_s)
        return await answer
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    line = await reader.readline()
    if not line:
        return 0, b""
    length = 0
    while (header := await reader.readline()) not in (b"\r\n", b""):
        name, _colon, value = header.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return int(line.split()[1]), await reader.readexactly(length)


def infer_body(data: list[Any], shape: list[int] | None = None, **changes: Any) -> dict[str, Any]:
    item = {"name": "x", "datatype": "FP32", "shape": shape or [1, len(data)], "data": data, **changes}
    return {"inputs": [item]}


@pytest.fixture
def http(served: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {site.TOKEN}"}
    return httpx.AsyncClient(base_url=f"http://{served}", headers=headers, timeout=30)


async def test_a_body_that_trickles_is_ended(served: str) -> None:
    """Slow loris: forty connections hold nothing for longer than the limit, and others are answered meanwhile."""
    start = head("Content-Length: 1000") + b"{"
    loris = [asyncio.ensure_future(exchange(served, start, *[b" "] * 30, pause_s=0.1)) for _ in range(40)]
    await asyncio.sleep(0.3)
    good = json.dumps(infer_body([1, 2, 3, 4])).encode()
    assert (await exchange(served, head(f"Content-Length: {len(good)}") + good))[0] == 200
    for status, body in await asyncio.gather(*loris):
        assert status == 408
        assert b"did not arrive within" in body


async def test_a_body_that_ends_early_is_answered_to_nobody(served: str) -> None:
    host, port = served.split(":")
    for _ in range(20):
        _reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head("Content-Length: 5000") + b'{"inputs": [')
        await writer.drain()
        writer.close()
    good = json.dumps(infer_body([1, 2, 3, 4])).encode()
    assert (await exchange(served, head(f"Content-Length: {len(good)}") + good))[0] == 200


async def test_a_thousand_callers_that_hang_up_at_once_hold_nothing(served: str) -> None:
    """Each has asked whole and waits, then all are gone: every place of the caller and of the queue is free again."""
    host, port = served.split(":")
    asked = json.dumps(infer_body([1.0])).encode()
    order = head(f"Content-Length: {len(asked)}").replace(b"/double/", b"/slow/") + asked
    connections = await asyncio.gather(*[asyncio.open_connection(host, int(port)) for _ in range(1000)])
    for _reader, writer in connections:
        writer.write(order)
    await asyncio.gather(*[writer.drain() for _reader, writer in connections])
    for _reader, writer in connections:
        writer.transport.abort()
    good = json.dumps(infer_body([1, 2, 3, 4])).encode()
    together = [head(f"Content-Length: {len(good)}") + good, order]
    for _attempt in range(100):
        answers = [
            await asyncio.gather(*[exchange(served, request) for _ in range(places)])
            for request, places in zip(together, (60, 30), strict=True)
        ]
        statuses = {status for some in answers for status, _body in some}
        if statuses == {200}:
            return
        await asyncio.sleep(0.2)
    pytest.fail(f"places are still held: {statuses}")


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 4", "Content-Length: 300"),
        ("Content-Length: -4",),
        ("Content-Length: 99999999999999999999999",),
        ("Content-Length: four",),
        ("Transfer-Encoding: chunked, gzip",),
    ],
)
async def test_contradictory_and_impossible_lengths_are_refused(served: str, lines: tuple[str, ...]) -> None:
    status, _body = await exchange(served, head(*lines) + b"{}{}")
    assert 400 <= status < 500 or status == 0


async def test_chunks_win_over_a_length_and_nothing_is_left_for_the_next_request(served: str) -> None:
    """Request smuggling needs two readings of one body; there is one, or a refusal."""
    good = json.dumps(infer_body([1, 2, 3, 4])).encode()
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(good), good)
    status, body = await exchange(served, head("Content-Length: 3", "Transfer-Encoding: chunked") + chunked)
    assert status in (0, 200, 400)
    assert status != 200 or json.loads(body)["outputs"][0]["data"] == [2, 4, 6, 8]


@pytest.mark.parametrize("shape", [[2**31, 4], [2**31 - 1, 4], [2**62, 2**62], [10**30, 4]])
async def test_a_huge_shape_with_a_small_body_costs_nothing(
    http: httpx.AsyncClient, shape: list[int]
) -> None:
    async with http:
        answer = await http.post(INFER, json=infer_body([1, 2, 3, 4], shape))
        assert answer.status_code == 400
        assert list(answer.json()) == ["error"]
        binary = {
            "inputs": [infer_body([], shape)["inputs"][0] | {"parameters": {"binary_data_size": 2**50}}]
        }
        del binary["inputs"][0]["data"]
        header = json.dumps(binary).encode()
        answer = await http.post(
            INFER, content=header + b"abc", headers={"Inference-Header-Content-Length": str(len(header))}
        )
        assert answer.status_code == 400


@pytest.mark.parametrize("layers", [1, 2])
async def test_a_bomb_is_not_unpacked(http: httpx.AsyncClient, layers: int) -> None:
    bomb = b"[" + b" " * (16 * 1024 * 1024) + b"]"
    for _ in range(layers):
        bomb = gzip.compress(bomb, 9)
    async with http:
        answer = await http.post(INFER, content=bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == (413 if layers == 1 else 400)


async def test_numbers_that_are_none(http: httpx.AsyncClient) -> None:
    """JSON has no NaN: written all the same it is refused. In binary data it is a number like others."""
    async with http:
        for text in ("NaN", "Infinity", "-Infinity", "1e999", "nan", "null", '"1"'):
            body = json.dumps(infer_body([1, 2, 3, 4])).replace("4]", text + "]")
            answer = await http.post(INFER, content=body)
            assert answer.status_code == 400, text
        item = {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
        wanted = [{"name": "y", "parameters": {"binary_data": True}}]
        header = json.dumps({"inputs": [item], "outputs": wanted}).encode()
        values = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
        headers = {"Inference-Header-Content-Length": str(len(header))}
        answer = await http.post(INFER, content=header + values.tobytes(), headers=headers)
        tail = answer.content[int(answer.headers["inference-header-content-length"]) :]
        assert np.array_equal(np.frombuffer(tail, np.float32), 2 * values, equal_nan=True)
        # Asked for as JSON, what JSON cannot say is null.
        del wanted[0]["parameters"]
        header = json.dumps({"inputs": [item], "outputs": wanted}).encode()
        headers = {"Inference-Header-Content-Length": str(len(header))}
        answer = await http.post(INFER, content=header + values.tobytes(), headers=headers)
        assert answer.json()["outputs"][0]["data"] == [None, None, None, 2]
