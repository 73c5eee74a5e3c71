"""MLServer's runtime for the models: NumPy codec, ONNX Runtime, in the server's own process (its fastest)."""

from __future__ import annotations

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from onnx_session import session


class OnnxModel(MLModel):
    """A model of the Open Inference Protocol."""

    async def load(self) -> bool:
        self._session = session(self.name)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        given = payload.inputs[0]
        result = self._session.run(None, {given.name: NumpyCodec.decode_input(given)})[0]
        output = NumpyCodec.encode_output("probabilities", result)
        return InferenceResponse(model_name=self.name, outputs=[output])
