"""The whole site in its own processes: up with one command, down without a trace, up again with its data."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from openclaw_site.config import CHECKOUT, process_environment
from openclaw_site.runner import lock

pytestmark = pytest.mark.live

UP_TIMEOUT_S = 120.0
DOWN_TIMEOUT_S = 45.0


class Site:
    """One site with a state folder and a port of its own, driven through the `openclaw` command as a person would."""

    def __init__(self, var: Path, port: int) -> None:
        self.var = var
        self.port = port
        self.environment = process_environment(OPENCLAW_VAR=str(var), OPENCLAW_PORT=str(port))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "openclaw_site.cli", *arguments]

    def call(self, *arguments: str, timeout_s: float = UP_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        """`openclaw run` until it is ready; killed at the end with all it started, if the test did not stop it."""
        process = subprocess.Popen(
            self.command("run", "--no-demo"),
            env=self.environment,
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            self.wait_until_ready(process)
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(DOWN_TIMEOUT_S)
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
            self.call("stop")

    def wait_until_ready(self, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + UP_TIMEOUT_S
        while time.monotonic() < deadline:
            state = lock.RunState.read(self.var)
            if state.pid == process.pid and state.phase == lock.READY:
                return
            if process.poll() is not None:
                assert process.stdout is not None
                pytest.fail(f"openclaw run ended with {process.returncode}: {process.stdout.read()}")
            time.sleep(0.05)
        pytest.fail("openclaw run did not become ready")

    def family(self) -> list[psutil.Process]:
        """Every process of the running site, services included."""
        runner = psutil.Process(lock.RunLock(self.var).holder())
        return [runner, *runner.children(recursive=True)]

    def pid_of(self, name: str) -> int:
        """Process id of one part, 0 when it does not run."""
        children = lock.RunState.read(self.var).children
        return next((child.pid for child in children if child.name == name), 0)

    def readiness(self) -> dict[str, object]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=10) as response:
            return dict(json.load(response))


@pytest.fixture
def site(folder: Path, free_port: int) -> Site:
    return Site(folder / "var", free_port)


def gone(processes: list[psutil.Process]) -> list[str]:
    """What is still alive a moment later, to be compared with nothing."""
    _gone, alive = psutil.wait_procs(processes, timeout=5)
    return [" ".join(process.cmdline()) for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_ctrl_c_leaves_no_process_and_a_second_start_is_quick_and_keeps_the_data(site: Site) -> None:
    with site.running() as first:
        assert site.readiness()["ready"] is True
        names = {child.name for child in lock.RunState.read(site.var).children}
        assert names == {"postgres", "valkey", "web", "worker", "worker-batch", "beat"}
        family = site.family()
        secret = (site.var / "secrets" / "django-secret-key").read_text()

        first.send_signal(signal.SIGINT)

        assert first.wait(DOWN_TIMEOUT_S) == 0
        assert gone(family) == []
    started = time.monotonic()
    with site.running():
        assert time.monotonic() - started < 30, "a second start takes seconds"
        assert (site.var / "secrets" / "django-secret-key").read_text() == secret
        refused = site.call("run")
        assert refused.returncode == 1
        assert "already running" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_killed_child_comes_back_and_what_a_killed_runner_left_is_cleared_away(site: Site) -> None:
    with site.running() as runner:
        web = site.pid_of("web")
        os.kill(web, signal.SIGKILL)
        deadline = time.monotonic() + 60
        back = False
        while not back and time.monotonic() < deadline:
            time.sleep(0.2)
            with contextlib.suppress(urllib.error.URLError, OSError):
                back = site.pid_of("web") not in (0, web) and site.readiness()["ready"] is True
        assert back, "the web server was started again"

        left_over = [process for process in site.family() if process.pid != runner.pid]
        runner.kill()
        runner.wait()
        assert any(process.is_running() for process in left_over)
    with site.running():
        assert gone(left_over) == []
        assert site.readiness()["ready"] is True


def test_in_the_background_it_starts_tells_its_state_and_stops(site: Site) -> None:
    assert site.call("status").returncode == 1
    started = site.call("start", "--no-demo")
    assert started.returncode == 0, started.stderr
    try:
        assert f"http://127.0.0.1:{site.port}" in started.stdout
        status = site.call("status")
        assert status.returncode == 0, status.stdout
        assert "worker-batch" in status.stdout
        checked = site.call("manage", "check", "--database", "default")
        assert checked.returncode == 0, checked.stderr
        family = site.family()
    finally:
        stopped = site.call("stop")
    assert "Stopped." in stopped.stdout
    assert gone(family) == []
    assert "not running" in site.call("stop").stdout


def test_a_port_in_use_is_one_sentence_and_nothing_is_left_behind(site: Site) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", site.port))
        other.listen()
        refused = site.call("run")
    assert refused.returncode == 1
    assert f"Port {site.port}" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (site.var / "pg").exists()
