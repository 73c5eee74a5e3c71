"""One runner per state folder: the lock that says so, and the file that says what it started."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

from openclaw_site.runner.errors import RunnerError

STARTING, SERVING, READY, STOPPING, FAILED = "starting", "serving", "ready", "stopping", "failed"


class RunLock:
    """Held by the one runner of a state folder; the kernel lets go of it when the runner ends, however it ends."""

    def __init__(self, var: Path) -> None:
        self.path = var / "run" / "openclaw.pid"
        self._descriptor: int | None = None

    def holder(self) -> int:
        """Process id of the runner that holds the lock, 0 when nobody does."""
        if not self.path.exists():
            return 0
        descriptor = os.open(self.path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(descriptor, 20).decode().strip()
            return int(text) if text.isdecimal() else -1
        finally:
            os.close(descriptor)
        return 0

    def acquire(self) -> None:
        """Take the lock; raises RunnerError when another runner has it."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        if not _lock_soon(descriptor):
            os.close(descriptor)
            raise RunnerError(
                f"This site is already running (process {self.holder()}).",
                "Use it, or stop it first: `openclaw stop`. A second site needs its own OPENCLAW_VAR and "
                "OPENCLAW_PORT.",
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of the lock."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> RunLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@dataclass
class ChildRecord:
    """One started process: `created` tells it from a later one with the same id."""

    name: str
    pid: int
    created: float
    stop_signal: int


@dataclass
class RunState:
    """What a runner tells other commands: how far it is, what it started, why it failed."""

    pid: int = 0
    phase: str = STARTING
    url: str = ""
    message: str = ""
    children: list[ChildRecord] = field(default_factory=list)

    @classmethod
    def read(cls, var: Path) -> RunState:
        """The state that the last runner of `var` wrote; an empty one when there is none."""
        try:
            data = json.loads(_state_file(var).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return cls()
        children = [ChildRecord(**child) for child in data.pop("children", [])]
        return cls(children=children, **data)

    def write(self, var: Path) -> None:
        """Replace the state file in one step."""
        target = _state_file(var)
        draft = target.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.replace(draft, target)


def _lock_soon(descriptor: int) -> bool:
    # Somebody who asks `holder()` has the lock for a moment; a runner has it for good.
    for _attempt in range(10):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.03)
        else:
            return True
    return False


def _state_file(var: Path) -> Path:
    return var / "run" / "state.json"
