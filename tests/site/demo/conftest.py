"""The demo's trained models, made once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openclaw_site.config import CHECKOUT, process_environment


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder and the figures of one training run, as the demo makes them: in a process of its own."""
    folder = tmp_path_factory.mktemp("demo-models")
    argv = [sys.executable, "-m", "openclaw_site.demo.models", str(folder), "--seed", "1"]
    done = subprocess.run(
        argv, cwd=CHECKOUT, env=process_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder, json.loads((folder / "figures.json").read_text(encoding="utf-8"))
