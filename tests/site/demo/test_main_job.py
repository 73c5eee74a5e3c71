"""The main job over HTTP: `openclaw demo` on a whole site of its own, twice, every step of it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from openclaw_site.config import CHECKOUT, process_environment

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def openclaw() -> Iterator[Call]:
    """The `openclaw` command on a state folder and a port of its own; the site is stopped at the end."""
    var = Path(tempfile.mkdtemp(prefix="oc-demo-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = process_environment(OPENCLAW_VAR=str(var), OPENCLAW_PORT=str(port))

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "openclaw_site.cli", *arguments],
            env=environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    yield call
    call("stop")
    shutil.rmtree(var, ignore_errors=True)


def test_the_main_job_holds_twice_in_a_row(openclaw: Call) -> None:
    started = openclaw("start", "--no-demo")
    assert started.returncode == 0, started.stdout + started.stderr
    for run in (1, 2):
        played = openclaw("demo")
        assert played.returncode == 0, played.stdout[-4000:] + played.stderr[-2000:]
        assert "Every step held." in played.stdout
        # New versions each time, and each thing that must be seen was seen.
        assert f"digits-reader-1.{2 * run - 2}.0.zip" in played.stdout
        assert "is a Python pickle" in played.stdout
        assert "This is your own submission" in played.stdout
        assert re.search(r"tuf\.ngclient: plugins/acme-vision/digits-reader/\S+ verified", played.stdout)
        assert "SIGKILL to process" in played.stdout
        assert "every one of the 26,970 rows exactly once" in played.stdout
        assert re.search(r"refused \d+ ms after its revocation", played.stdout)
    assert "the split is set" in played.stdout
