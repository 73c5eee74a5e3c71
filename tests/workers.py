"""Real Celery workers for tests that kill them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.services import TestServices

DEADLINE_S = 120


@contextmanager
def worker(
    services: TestServices, tmp_path: Path, name: str, *, queue: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of one queue in a process group of its own; what is left of it is killed at the end."""
    command = [
        sys.executable, "-m", "celery", "-A", "openclaw_site.celery", "worker", f"--queues={queue}",
        "--concurrency=2", f"--hostname={name}@%h", "--without-gossip", "--without-mingle", "--loglevel=INFO",
    ]  # fmt: skip
    with (tmp_path / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=os.environ | services.environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(condition: Callable[[], Any], what: str, log: Path) -> Any:
    """The first true answer of `condition`; fails with the end of the worker's log when there is none in time."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen; the worker said:\n{log.read_text()[-3000:]}")
