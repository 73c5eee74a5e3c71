"""What every peer runs: ONNX Runtime with one thread a session, as we do.

This folder's programs run with a peer's own interpreter, which has none of our packages: they import nothing of ours.
"""

from __future__ import annotations

import os
from pathlib import Path

import onnxruntime as ort

MODELS = ("tab", "resnet")


def session(name: str) -> ort.InferenceSession:
    """The model `name` from the benchmark's folder."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = Path(os.environ["OPENCLAW_BENCH_FOLDER"]) / f"{name}.onnx"
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
