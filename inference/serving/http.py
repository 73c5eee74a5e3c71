"""The little of HTTP that the inference application needs, on bare ASGI."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from governance.ethics.use import UNSAID, Use
from inference.serving.entries import CallerGone
from inference.serving.errors import ProtocolError

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
BINARY: Header = (b"content-type", b"application/octet-stream")

DISCARD_FACTOR = 4
DISCARD_S = 5.0

_WINDOW_BITS = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}


@dataclass(slots=True)
class RequestHeaders:
    """The headers that matter here, as they were sent."""

    authorization: bytes = b""
    content_length: bytes = b""
    content_encoding: bytes = b""
    inference_header_length: bytes = b""
    session: bytes = b""
    cohort: bytes = b""
    request_id: bytes = b""
    purpose: bytes = b""
    amount: bytes = b""

    @classmethod
    def of(cls, scope: Scope) -> RequestHeaders:
        found = cls()
        for name, value in scope["headers"]:
            attribute = _ATTRIBUTES.get(name)
            if attribute is not None:
                setattr(found, attribute, value)
        return found

    @property
    def token(self) -> str:
        """The bearer token (RFC 6750), or nothing."""
        scheme, _space, token = self.authorization.partition(b" ")
        return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""

    @property
    def use(self) -> Use:
        """What the caller says about the use: the purpose, and the amount at stake."""
        if not self.purpose and not self.amount:
            return UNSAID
        try:
            return Use.parse(self.purpose.decode("latin-1"), self.amount.decode("latin-1"))
        except ValueError as error:
            raise ProtocolError(400, str(error)) from None

    @property
    def json_length(self) -> int | None:
        """Inference-Header-Content-Length: the size in bytes of the JSON part, when binary data follows."""
        if not self.inference_header_length:
            return None
        return _number(self.inference_header_length, "Inference-Header-Content-Length")


_ATTRIBUTES = {
    b"authorization": "authorization",
    b"content-length": "content_length",
    b"content-encoding": "content_encoding",
    b"inference-header-content-length": "inference_header_length",
    b"x-openclaw-session": "session",
    b"x-openclaw-cohort": "cohort",
    b"x-request-id": "request_id",
    b"x-openclaw-purpose": "purpose",
    b"x-openclaw-amount": "amount",
}


class BodyReader:
    """Reads bodies of at most `limit` bytes, each within `timeout_s`.

    One timer watches all that are being read: a timer for each costs as much as a fifth of a small prediction.
    """

    def __init__(self, *, limit: int, timeout_s: float) -> None:
        self._limit = limit
        self._timeout_s = timeout_s
        self._reading: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._sweep: asyncio.TimerHandle | None = None

    async def read(self, receive: Receive, headers: RequestHeaders) -> bytes:
        """The whole body, decompressed. Raises ProtocolError: 413 for one that is too large, 408 for one that is too
        late; CallerGone on a hang-up."""
        limit = self._limit
        if headers.content_length and _number(headers.content_length, "Content-Length") > limit:
            await discard_body(receive, limit=limit)
            raise _too_large(limit)
        task = asyncio.current_task()
        assert task is not None, "requests are answered in tasks"
        self._reading[task] = time.monotonic()
        if self._sweep is None:
            self._watch_again()
        try:
            body = await _receive_all(receive, limit)
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            message = f"the body did not arrive within {self._timeout_s:g} seconds"
            raise ProtocolError(408, message, headers=((b"connection", b"close"),)) from None
        finally:
            del self._reading[task]
            self._late.discard(task)
        return _decompress(body, headers.content_encoding, limit) if headers.content_encoding else body

    def _watch_again(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(self._timeout_s / 4, self._end_late)

    def _end_late(self) -> None:
        before = time.monotonic() - self._timeout_s
        for task, started in self._reading.items():
            if started < before and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._sweep = None
        if self._reading:
            self._watch_again()


async def _receive_all(receive: Receive, limit: int) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body"):
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                if message.get("more_body"):
                    await discard_body(receive, limit=limit)
                raise _too_large(limit)
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise CallerGone
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def discard_body(receive: Receive, *, limit: int) -> None:
    """Take what the caller is still sending, up to a few times the `limit` of a body and some seconds.

    Many clients read an answer only after they have sent everything, and see a reset connection otherwise.
    """
    size, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_S):
            while more and size <= DISCARD_FACTOR * limit:
                message = await receive()
                size += len(message.get("body", b""))
                more = message.get("more_body", False)


async def wait_for_disconnect(receive: Receive) -> None:
    """Returns when the caller has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def respond(send: Send, status: int, body: bytes, headers: Iterable[Header] = (JSON,)) -> None:
    """Send a whole answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def respond_json(send: Send, value: object, *, status: int = 200) -> None:
    """Send a JSON document."""
    await respond(send, status, orjson.dumps(value))


async def respond_error(send: Send, error: ProtocolError) -> None:
    """Send an error in the protocol's one form."""
    await respond(send, error.status, orjson.dumps(error.document()), (JSON, *error.headers))


def _decompress(body: bytes, encoding: bytes, limit: int) -> bytes:
    encoding = encoding.strip().lower()
    if encoding == b"identity":
        return body
    if encoding not in _WINDOW_BITS:
        raise ProtocolError(400, "Content-Encoding must be gzip or deflate")
    decompressor = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        # One byte more than allowed is enough to know that it is too large.
        plain = decompressor.decompress(body, limit + 1)
    except zlib.error:
        raise ProtocolError(400, f"the body is not valid {encoding.decode()} data") from None
    if len(plain) > limit:
        raise _too_large(limit)
    if not decompressor.eof:
        raise ProtocolError(400, f"the {encoding.decode()} data of the body is cut off")
    return plain


def _number(value: bytes, name: str) -> int:
    if not value.isdigit() or len(value) > 18:
        raise ProtocolError(400, f"{name} must be a number of bytes")
    return int(value)


def _too_large(limit: int) -> ProtocolError:
    return ProtocolError(413, f"the request is larger than {limit} bytes; send fewer rows at a time")


class Exchange:
    """One request and its answer without a connection: a `receive` and a `send` for callers in this process."""

    def __init__(self, body: bytes) -> None:
        self.status = 500
        self.answer = bytearray()
        self._body: bytes | None = body

    async def receive(self) -> dict[str, Any]:
        """The whole body; after that, nothing: this caller does not hang up."""
        if self._body is None:
            await asyncio.get_running_loop().create_future()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: dict[str, Any]) -> None:
        """Take one message of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.answer += message.get("body", b"")
