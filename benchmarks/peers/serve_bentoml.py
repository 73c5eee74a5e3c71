"""BentoML: one service, an address per model. It has no Open Inference Protocol: the body is its own, `{"x": rows}`.

Without its adaptive batching, which is slower on both models. `PORT` is the first argument.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
from onnx_session import session


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": True})
class Models:
    """Both models."""

    def __init__(self) -> None:
        self._tab = session("tab")
        self._resnet = session("resnet")

    @bentoml.api(route="/v2/models/tab/infer")
    async def tab(self, x: list[list[float]]) -> dict[str, Any]:
        result = self._tab.run(None, {"x": np.asarray(x, dtype=np.float32)})[0]
        return {"probabilities": result.tolist()}

    @bentoml.api(route="/v2/models/resnet/infer")
    async def resnet(self, x: list[list[float]]) -> dict[str, Any]:
        rows = np.asarray(x, dtype=np.float32).reshape(-1, 3, 32, 32)
        return {"probabilities": self._resnet.run(None, {"image": rows})[0].tolist()}


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    os.chdir(Path(__file__).parent)
    command = ["bentoml", "serve", "serve_bentoml:Models", "--host", "127.0.0.1", "--port", sys.argv[1]]
    os.execv(Path(sys.executable).with_name("bentoml"), command)
