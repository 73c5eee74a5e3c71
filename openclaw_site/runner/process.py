"""One child process with its log file, in a session of its own, stopped with a signal that it understands."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

LOG_LIMIT_BYTES = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Program:
    """How one child is started and stopped.

    Output goes to `log`, or to this terminal when it is None. `stop_signal` asks it to finish what it is doing;
    after `grace_s` seconds `kill_signal` ends it.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    log: Path | None
    folder: Path
    stop_signal: signal.Signals = signal.SIGTERM
    kill_signal: signal.Signals = signal.SIGKILL
    grace_s: float = 20.0


class Child:
    """A running `Program`.

    It gets a session of its own, so that Ctrl-C in the terminal reaches the runner alone, and the runner
    decides who stops when.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.started_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id, 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit status once it ended (negative: the signal that ended it)."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start the program, or start it again once it ended; raises OSError when it cannot be executed."""
        self.kill()  # what is left of its group
        program = self.program
        with contextlib.ExitStack() as stack:
            log = None
            if program.log is not None:
                program.log.parent.mkdir(parents=True, exist_ok=True)
                rotate(program.log)
                log = stack.enter_context(program.log.open("ab"))
            self._process = subprocess.Popen(
                program.argv,
                env=dict(program.environment),
                cwd=program.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log and subprocess.STDOUT,
                start_new_session=True,
            )
        self.started_at = time.monotonic()

    def ask_to_stop(self) -> None:
        """Send the stop signal and return at once."""
        if self.alive and self._process is not None:
            self._process.send_signal(self.program.stop_signal)

    def stop(self, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """Ask it to stop, wait for `grace_s` (or until `hurry()`), then kill what is left of its group."""
        if self._process is None:
            return
        self.ask_to_stop()
        deadline = time.monotonic() + self.program.grace_s
        while self.alive and time.monotonic() < deadline and not hurry():
            time.sleep(0.02)
        self.kill()

    def kill(self) -> None:
        """End it and everything in its process group now."""
        if self._process is None:
            return
        if self.alive:
            self._process.send_signal(self.program.kill_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
        # The group outlives its leader: a pool process that hung must not survive the site.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def log_tail(self, *, lines: int = 12) -> str:
        """The last lines of its log."""
        return tail(self.program.log, lines=lines) if self.program.log else ""


def created_at(pid: int) -> float:
    """When the process started (seconds since the epoch), 0 without one: tells a reused id from the old one."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def ask_left_over(pid: int, created: float, stop_signal: signal.Signals) -> bool:
    """Ask a process that an earlier, killed runner left behind to stop; returns whether there was one.

    `created` must match, so that a process that merely got the same id is left alone.
    """
    now = created_at(pid) if pid and created else 0.0
    if now and abs(now - created) <= 1.0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, stop_signal)
        return True
    return not now and bool(_group(pid, created))


def end_left_over(pid: int, created: float, *, grace_s: float = 10.0) -> None:
    """Wait for a process for which `ask_left_over` said yes, then end what is left of its group."""
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and _is_running(pid):
        time.sleep(0.05)
    members = _group(pid, created)
    if members:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        psutil.wait_procs(members, timeout=5)


def rotate(log: Path, *, limit_bytes: int = LOG_LIMIT_BYTES) -> bool:
    """Move a log that grew past `limit_bytes` aside as `NAME.1`; returns whether it did.

    Copy and truncate: the writer keeps its descriptor, which appends, so nobody has to be told.
    """
    if not log.exists() or log.stat().st_size < limit_bytes:
        return False
    shutil.copyfile(log, log.with_name(log.name + ".1"))
    os.truncate(log, 0)
    return True


def tail(path: Path, *, lines: int) -> str:
    """The last `lines` lines of a text file, empty when it is missing."""
    if not path.exists():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 16_384))
        text = stream.read().decode("utf-8", errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def _group(pid: int, created: float) -> list[psutil.Process]:
    """The living members of the group that `pid` led: an id in use by a group is given to no new process."""
    members: list[psutil.Process] = []
    if not pid or not created:
        return members
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == pid and process.create_time() >= created - 1.0:
                members.append(process)
    return members


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
