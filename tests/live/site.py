"""The whole site in its own processes, on services of its own, so that a test may break them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from openclaw_site.config import Config
from openclaw_site.demo.clients import Person
from openclaw_site.demo.world import World
from tests.services import DATABASE, TestServices

ROOT = Path(__file__).resolve().parents[2]
READY_S = 90.0
STOP_S = 40.0
QUEUES = "default,checks,publish,batch"


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LiveSite:
    """granian, one Celery worker for every queue, and beat, against a PostgreSQL and a Valkey of their own."""

    def __init__(self) -> None:
        self.services = TestServices()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = (
            os.environ
            | self.services.environment()
            | {"OPENCLAW_PUBLIC_URL": self.url, "OPENCLAW_PORT": str(self.port), "PYTHONWARNINGS": "ignore"}
        )
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.http = httpx.Client(base_url=self.url, timeout=30)
        self.told = ""  # what the first run of the demo printed

    def start(self) -> None:
        """Everything, until a request is answered and every queue has its worker."""
        self.services.start_postgres()
        self.services.start_valkey()
        self.run("-m", "django", "collectstatic", "--no-input", "--verbosity=0")
        for name in ("web", "worker", "beat"):
            self.start_process(name)
        self.until(self.healthy, "the site to be healthy", READY_S)

    def stop(self) -> None:
        """Stop everything that was started, and remove its folder."""
        for name in list(self.processes):
            self.stop_process(name)
        self.http.close()
        self.services.stop()

    def start_process(self, name: str) -> None:
        """Start `web`, `worker` or `beat` in a process group of its own."""
        celery = ["celery", "-A", "openclaw_site.celery"]
        argv = {
            "web": [
                *("granian", "--interface=asgi", "--host=127.0.0.1", f"--port={self.port}", "--workers=1"),
                *("--loop=uvloop", "--no-access-log", "openclaw_site.asgi:application"),
            ],
            "worker": [
                *(*celery, "worker", f"--queues={QUEUES}", "--concurrency=2", "--loglevel=INFO"),
                *("--without-gossip", "--without-mingle"),
            ],
            "beat": [*celery, "beat", f"--schedule={self.folder / 'beat'}", "--pidfile=", "--loglevel=INFO"],
        }[name]
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *argv],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop_process(self, name: str) -> None:
        """Ask it to end, as an operator does."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._kill(process)

    def kill_process(self, name: str) -> None:
        """SIGKILL to it and to all its children: a power cut."""
        self._kill(self.processes.pop(name))

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    @property
    def folder(self) -> Path:
        """The site's state folder."""
        return self.services.folder

    def log(self, name: str) -> Path:
        """The log of a process."""
        return self.folder / f"{name}.log"

    def run(self, *arguments: str, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
        """Run Python as a person of this site would; its exit status must be 0."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout[-6000:]}\n{done.stderr[-4000:]}"
        return done

    def demo(self) -> str:
        """Play the main job, as `make demo` does where a site is running; returns what it printed."""
        play = "import sys; from openclaw_site.demo.main import main; sys.exit(main())"
        return self.run("-c", play).stdout

    def ready(self) -> Mapping[str, Any]:
        """What /health/ready says, with its status under `status`."""
        answer = self.http.get("/health/ready")
        return {**answer.json(), "status": answer.status_code}

    def healthy(self) -> bool:
        """Every part works."""
        try:
            return bool(self.ready()["healthy"])
        except (httpx.TransportError, ValueError):
            return False

    @staticmethod
    def until(probe: Any, what: str, timeout_s: float, every_s: float = 0.1) -> Any:
        """Ask until the answer is true, and return it; fail when it does not come in time."""
        deadline = time.monotonic() + timeout_s
        while not (answer := probe()):
            assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s for {what}"
            time.sleep(every_s)
        return answer

    @property
    def world(self) -> World:
        """The demo's view of this site, with its accounts."""
        world = World(Config.from_environ(self.environment))
        world.read_accounts()
        return world

    def person(self, username: str) -> Person:
        """Sign somebody of the demo in."""
        return self.world.person(username)

    def sql(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """Ask the database as the superuser, whom row security does not bind."""
        dsn = self.services.postgres.superuser_dsn.replace("/postgres?", f"/{DATABASE}?")
        with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(statement, parameters)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def without_database(self) -> Iterator[None]:
        """PostgreSQL is gone, and comes back afterwards."""
        self.services.postgres.stop()
        try:
            yield
        finally:
            self.services.postgres.start()

    @contextlib.contextmanager
    def without_valkey(self) -> Iterator[None]:
        """Valkey is gone, and comes back afterwards."""
        self.services.valkey.stop()
        try:
            yield
        finally:
            self.services.valkey.start()
