"""What a server that does nothing else can do here: bare granian, the body decoded, the model run in the event loop."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson

_folder = Path(os.environ["OPENCLAW_BENCH_FOLDER"])


def _session(name: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(str(_folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])


SESSIONS = {name: _session(name) for name in ("tab", "cnn", "resnet")}


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI: `/v2/models/{name}/infer`, and anything else to say that it is there."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    answer = b"{}"
    if scope["method"] == "POST":
        given = orjson.loads(body)["inputs"][0]
        tensor = np.array(given["data"], dtype=np.float32).reshape(given["shape"])
        result = SESSIONS[scope["path"].split("/")[3]].run(None, {given["name"]: tensor})[0]
        output = {"name": "probabilities", "datatype": "FP32", "shape": result.shape, "data": result.ravel()}
        answer = orjson.dumps({"model_name": "m", "outputs": [output]}, option=orjson.OPT_SERIALIZE_NUMPY)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
