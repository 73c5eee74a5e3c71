"""A live server of the inference application, and model files."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[3]


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of the fake site under granian, in a process of its own."""
    folder = tmp_path_factory.mktemp("fake-site")
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "asgi",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    command += [
        "--workers",
        "1",
        "--no-ws",
        "--loop",
        "uvloop",
        "tests.inference.serving.fake_site:application",
    ]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "OPENCLAW_FAKE_SITE": str(folder)}, stdout=log, stderr=log
        )
        try:
            wait_until_ready(server, f"http://127.0.0.1:{port}/v2/health/ready", folder / "log")
            yield f"127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)
    assert "Traceback" not in (folder / "log").read_text()


def wait_until_ready(
    server: subprocess.Popen[bytes], url: str, log: Path, *, verify: ssl.SSLContext | bool = True
) -> None:
    """Wait for a 200; fail with the log when the server ends or takes a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, verify=verify).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
        if server.poll() is not None:
            break
    raise AssertionError(f"the server did not become ready:\n{log.read_text()}")
