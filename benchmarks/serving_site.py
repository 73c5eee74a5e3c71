"""The servers that the serving benchmarks measure: the whole site in a folder of its own, and bare granian."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from openclaw_site.config import CHECKOUT, Config
from openclaw_site.runner.services import available_services, site_environment

START_TIMEOUT_S = 300.0


@contextmanager
def site(folder: Path, **variables: str) -> Iterator[tuple[str, int, str]]:
    """The site's address, its web server's process id and a token of a client that may call every endpoint.

    `variables` go into its environment.
    """
    port = free_port()
    environment = {**os.environ, "OPENCLAW_VAR": str(folder / "var"), "OPENCLAW_PORT": str(port), **variables}
    for inherited in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "OPENCLAW_PUBLIC_URL"):
        environment.pop(inherited, None)
    config = Config.from_environ(environment)
    log = folder / "site.log"
    with log.open("w") as stream:
        command = [sys.executable, "-m", "openclaw_site.cli", "run", "--no-demo"]
        runner = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=stream, stderr=stream)
    try:
        _wait(runner, f"{config.public_url}/health/ready", log)
        yield config.public_url, _web_process(runner.pid), _token(folder, config)
    finally:
        runner.send_signal(signal.SIGINT)
        runner.wait(60)


def _token(folder: Path, config: Config) -> str:
    """Seed the site and get a token for the benchmark's client, as any client gets one."""
    with available_services(config) as addresses:
        seeded = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.seed_serving", str(folder)],
            cwd=CHECKOUT,
            env=site_environment(config, addresses),
            capture_output=True,
            text=True,
            check=False,
        )
    if seeded.returncode:
        raise RuntimeError(f"the site could not be prepared:\n{seeded.stderr}")
    client = json.loads(seeded.stdout.splitlines()[-1])
    answer = httpx.post(f"{config.public_url}/o/token/", data={"grant_type": "client_credentials", **client})
    answer.raise_for_status()
    return str(answer.json()["access_token"])


@contextmanager
def bare(folder: Path, application: str) -> Iterator[str]:
    """The address of a bare ASGI application (`module:name`) under granian with one worker."""
    port = free_port()
    options = ["--interface=asgi", "--host=127.0.0.1", f"--port={port}", "--workers=1", "--loop=uvloop"]
    command = [sys.executable, "-m", "granian", *options, "--no-access-log", application]
    with program(folder, application.replace(":", "-"), command, f"http://127.0.0.1:{port}/"):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def program(folder: Path, name: str, command: list[str], ready: str) -> Iterator[None]:
    """A server in a process of its own, from when `ready` (an address) answers 200 to the end of the block."""
    log = folder / f"{name}.log"
    environment = {**os.environ, "OPENCLAW_BENCH_FOLDER": str(folder)}
    with log.open("w") as stream:
        server = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=stream, stderr=stream)
    try:
        _wait(server, ready, log)
        yield
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)


def _web_process(runner_pid: int) -> int:
    for process in psutil.Process(runner_pid).children():
        if "granian" in " ".join(process.cmdline()):
            return process.pid
    raise RuntimeError("the runner has no web server")


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"{url} does not answer:\n{log.read_text()}")


def free_port() -> int:
    """A TCP port that nobody listens on at present."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
