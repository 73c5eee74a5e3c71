"""KServe's Python server: `PORT` is its first argument. One process, no gRPC, no log line per request (its fastest)."""

from __future__ import annotations

import logging
import sys
import uuid
from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from onnx_session import MODELS, session


class OnnxModel(Model):
    """A model of the Open Inference Protocol."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._session = session(name)
        self.ready = True

    async def predict(self, payload: InferRequest, headers: Any = None, **_more: Any) -> InferResponse:
        given = payload.inputs[0]
        result = self._session.run(None, {given.name: given.as_numpy()})[0]
        output = InferOutput("probabilities", list(result.shape), "FP32")
        output.set_data_from_numpy(result, binary_data=False)
        return InferResponse(payload.id or uuid.uuid4().hex, self.name, [output])


if __name__ == "__main__":
    server = ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1, access_log_format=None)
    logging.disable(logging.INFO)
    server.start([OnnxModel(name) for name in MODELS])
