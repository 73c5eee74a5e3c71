"""MLServer: `PORT` is its first argument, a folder for its settings the second."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from onnx_session import MODELS

if __name__ == "__main__":
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "parallel_workers": 0,
        "debug": False,
    }
    folder.mkdir(exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    for name in MODELS:
        (folder / name).mkdir(exist_ok=True)
        described = {"name": name, "implementation": "mlserver_runtime.OnnxModel"}
        (folder / name / "model-settings.json").write_text(json.dumps(described), encoding="utf-8")
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    os.execv(Path(sys.executable).with_name("mlserver"), ["mlserver", "start", str(folder)])
