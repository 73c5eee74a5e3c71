"""Live servers: of the inference application alone, and of the site with a tenant that has an endpoint."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.inference.serving.site_house import House
    from tests.services import TestServices

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


@pytest.fixture(scope="session")
def site_url(
    services: TestServices, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The site under granian, on this run's services."""
    port, folder = free_port(), tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "granian", "--interface=asgi", "--host=127.0.0.1", f"--port={port}"]
    command += ["--workers=1", "--loop=uvloop", "--no-access-log", "openclaw_site.asgi:application"]
    with (folder / "log").open("w") as log:
        environment = os.environ | services.environment()
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            wait_until_ready(server, f"http://127.0.0.1:{port}/v2/health/ready", folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


@pytest.fixture
def house(site_url: str) -> House:
    from tests.inference.serving.site_house import House

    return House()


@pytest.fixture
def infer(site_url: str, house: House) -> Callable[..., httpx.Response]:
    """Call the endpoint, by default as the house's client."""

    from tests.inference.serving.site_house import BODY

    def call(token: str = house.token, path: str = "adder") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.post(f"{site_url}/v2/models/{path}/infer", json=BODY, headers=headers)

    return call


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
