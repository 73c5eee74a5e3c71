"""The data of a company stays on its machines: the runtime keeps no usage events and no device identifier."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
import inference.serving.runtime
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
"""


def test_loading_a_model_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    from tests.factories.packages import good_model

    model, home = tmp_path / "model.onnx", tmp_path / "home"
    model.write_bytes(good_model())
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(model)],
        env={"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == []
