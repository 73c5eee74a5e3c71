"""`openclaw run`: brings the site up in order, keeps it up, and takes it down in reverse order."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from urllib.parse import urlsplit

from openclaw_site.config import Config
from openclaw_site.runner import assets, lock, preflight, programs
from openclaw_site.runner.errors import Interrupted, RunnerError
from openclaw_site.runner.process import Child, Program, ask_left_over, created_at, end_left_over, rotate
from openclaw_site.runner.services import Addresses, Services, site_environment

READY_TIMEOUT_S = 90.0
STABLE_AFTER_S = 60.0
LONGEST_BACK_OFF_S = 30.0
ROTATE_EVERY_S = 30.0
Say = Callable[[str], None]


@dataclass
class Watched:
    """A long-running child and how often it has just crashed."""

    child: Child
    crashes: int = 0
    restart_at: float = 0.0


class Supervisor:
    """Runs one site: everything it starts is stopped with it, nothing else is touched."""

    def __init__(self, config: Config, *, say: Say) -> None:
        self.config = config
        self.say = say
        self.services = Services(config)
        self.state = lock.RunState(url=config.public_url)
        self.addresses: Addresses | None = None
        self._watched: list[Watched] = []
        self._step: Child | None = None
        self._stop_requests = 0
        self._wake = threading.Event()

    def run(self, *, when_serving: Callable[[Supervisor], None]) -> None:
        """Bring the site up, call `when_serving` once it answers, and watch it until a signal asks to stop.

        Raises RunnerError when it cannot be brought up; whatever had been started is stopped by then.
        """
        preflight.check_python()
        preflight.check_state_folder(self.config)
        with lock.RunLock(self.config.var):
            self._take_signals()
            self._end_left_over()
            try:
                preflight.check_machine(self.config)
                self._bring_up()
                self._enter(lock.SERVING)
                when_serving(self)
                self._enter(lock.READY)
                self._watch()
            except Interrupted:
                self.say("Stopping: everything that was started is being stopped.")
            except RunnerError as error:
                self.state.message = str(error)
                raise
            finally:
                self._take_down()

    def run_step(self, program: Program) -> int:
        """Run a program to its end and return its exit status; a stop request ends it and raises Interrupted."""
        self._step = Child(program)
        self._step.start()
        try:
            while self._step.alive:
                self._pause(0.05)
        finally:
            self._step.stop(hurry=self._hurried)
        return self._step.exit_code or 0

    def environment(self, *, owner: bool = False) -> dict[str, str]:
        """The environment of the site's processes, once the services are up."""
        if self.addresses is None:
            raise RunnerError("The services are not up yet.")
        return site_environment(self.config, self.addresses, owner=owner)

    def _bring_up(self) -> None:
        self._enter(lock.STARTING)
        self._timed("PostgreSQL", self.services.start_database)
        self._record()
        self._timed("Valkey", self.services.start_broker)
        self._record()
        self.addresses = self.services.addresses()
        self._watched = [Watched(child) for child in self.services.children]
        self._timed("Database schema", self._migrate)
        self._timed("Translations and static files", self._build_assets)
        environment = self.environment()
        self._timed("Base capabilities", self._add_capabilities)
        site = [programs.web(self.config, environment), *programs.workers(self.config, environment)]
        for program in [*site, programs.beat(self.config, environment)]:
            child = Child(program)
            self._watched.append(Watched(child))
            child.start()
        self._record()
        self._timed("Web server, workers and beat", self._wait_until_ready)

    def _migrate(self) -> None:
        program = programs.manage(
            self.config, "migrate", "migrate", "--no-input", environment=self.environment(owner=True)
        )
        self._must_succeed(program, "The database could not be migrated")

    def _build_assets(self) -> None:
        assets.compile_messages()
        if assets.static_files_are_current(self.config):
            return
        program = programs.manage(
            self.config, "static", "collectstatic", "--no-input", "--clear", environment=self.environment()
        )
        self._must_succeed(program, "The static files could not be collected")
        assets.remember_static_files(self.config)

    def _add_capabilities(self) -> None:
        # Organisations that are made later get them from the worker, within half a minute.
        program = programs.manage(
            self.config, "capabilities", "add_capabilities", environment=self.environment()
        )
        self._must_succeed(program, "The base capabilities could not be added")

    def _must_succeed(self, program: Program, problem: str) -> None:
        if self.run_step(program):
            child = Child(program)
            raise RunnerError(f"{problem}:\n{child.log_tail()}", f"The whole log is {program.log}.")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        answer = "no answer"
        while time.monotonic() < deadline:
            for watched in self._watched:
                if not watched.child.alive:
                    program = watched.child.program
                    raise RunnerError(
                        f"{program.name} stopped while starting:\n{watched.child.log_tail()}",
                        f"The whole log is {program.log}.",
                    )
            ready, answer = probe(self.config)
            if ready:
                return
            self._pause(0.1)
        raise RunnerError(
            f"The site did not become ready within {READY_TIMEOUT_S:.0f} s; it says: {answer}",
            f"The logs are in {self.config.var / 'logs'}.",
        )

    def _watch(self) -> None:
        next_rotation = time.monotonic() + ROTATE_EVERY_S
        while True:
            self._pause(0.5)
            for watched in self._watched:
                self._keep_up(watched)
            if time.monotonic() > next_rotation:
                next_rotation = time.monotonic() + ROTATE_EVERY_S
                for log in (self.config.var / "logs").glob("*.log"):
                    rotate(log)

    def _keep_up(self, watched: Watched) -> None:
        child, now = watched.child, time.monotonic()
        if child.alive:
            if watched.crashes and now - child.started_at > STABLE_AFTER_S:
                watched.crashes = 0
            return
        if not watched.restart_at:
            child.kill()  # what it left of its group: a worker without its leader must not go on answering
            delay = min(2.0**watched.crashes, LONGEST_BACK_OFF_S)
            watched.crashes += 1
            watched.restart_at = now + delay
            name, log = child.program.name, child.program.log
            self.say(
                f"{name} ended (status {child.exit_code}); it starts again in {delay:.0f} s. Its log: {log}"
            )
        elif now >= watched.restart_at:
            watched.restart_at = 0.0
            child.start()
            self._record()

    def _take_down(self) -> None:
        self._enter(lock.STOPPING)
        services = set(map(id, self.services.children))
        site = [watched.child for watched in self._watched if id(watched.child) not in services]
        # All are asked at once, then waited for in reverse order: the slowest sets the time, not the sum.
        for child in reversed(site):
            child.ask_to_stop()
        for child in reversed(site):
            child.stop(hurry=self._hurried)
        self.services.stop(hurry=self._hurried)
        self.state.children = []
        self._enter(lock.FAILED if self.state.message else "")

    def _end_left_over(self) -> None:
        """Stop what a runner that was killed could not stop itself."""
        records = reversed(lock.RunState.read(self.config.var).children)
        left_over = [r for r in records if ask_left_over(r.pid, r.created, signal.Signals(r.stop_signal))]
        for record in left_over:
            end_left_over(record.pid, record.created)
            self.say(f"Stopped {record.name}, left over from a run that was killed.")

    def _enter(self, phase: str) -> None:
        self.state.phase = phase
        self._record()

    def _record(self) -> None:
        children = [*self.services.children, *(watched.child for watched in self._watched)]
        unique = {child.pid: child for child in children if child.alive}
        self.state.pid = self.state.pid or os.getpid()
        self.state.children = [
            lock.ChildRecord(child.program.name, pid, created_at(pid), int(child.program.stop_signal))
            for pid, child in unique.items()
        ]
        self.state.write(self.config.var)

    def _timed(self, name: str, step: Callable[[], None]) -> None:
        if self._stop_requests:
            raise Interrupted
        started = time.monotonic()
        step()
        self.say(f"  {name:<32} ready   {time.monotonic() - started:5.1f} s")

    def _pause(self, seconds: float) -> None:
        self._wake.wait(seconds)
        if self._stop_requests:
            raise Interrupted

    def _hurried(self) -> bool:
        return self._stop_requests > 1

    def _take_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_requests += 1
        self._wake.set()


def probe(config: Config) -> tuple[bool, str]:
    """Ask the running web server whether every part works; returns (ready, what it said)."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)  # noqa: S104  an address to compare with
    connection = http.client.HTTPConnection(host, config.port, timeout=5)
    public = urlsplit(config.public_url)
    try:
        # As a TLS proxy in front would ask: the site may redirect plain http and refuses unknown hosts.
        connection.request(
            "GET", "/health/ready", headers={"Host": public.netloc, "X-Forwarded-Proto": public.scheme}
        )
        response = connection.getresponse()
        return response.status == 200, response.read(2000).decode("utf-8", errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return False, str(error)
    finally:
        connection.close()
