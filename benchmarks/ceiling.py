"""What granian itself can do here: an ASGI application that reads the body and answers a constant."""

from __future__ import annotations

from typing import Any

ANSWER = (
    b'{"model_name":"m","model_version":"1","parameters":{"prediction_id":"01a20a60-349d-750a-9751-bfe13db2bc44",'
    b'"arm":"1"},"outputs":[{"name":"probabilities","datatype":"FP32","shape":[1,2],"data":[0.25,0.75]}]}'
)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})
