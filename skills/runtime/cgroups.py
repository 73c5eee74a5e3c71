"""Control groups around a sandbox, where this process may make them (as root, with the controllers at hand).

They count what resource limits do not: threads (the kernel exempts root's processes from RLIMIT_NPROC), files in
/tmp, the kernel's own memory. Where they cannot be made the sandbox works without them. Both versions are used:
v2's one tree, and v1's trees `memory` and `pids`.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_NAME = "openclaw-sandbox"
_MAX_TASKS = 128
_STALE_S = 600
# Moves itself (0) into each group, then becomes the program: nothing of the sandbox ever runs outside of them.
_ENTER = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 97; shift; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True)
class Cage:
    """The groups of one run; an empty one does nothing."""

    folders: tuple[Path, ...] = ()

    def enclose(self, argv: list[str]) -> list[str]:
        """Return the command that runs `argv` inside the groups."""
        if not self.folders:
            return argv
        return [
            "/bin/sh",
            "-c",
            _ENTER,
            "sh",
            *(str(folder / "cgroup.procs") for folder in self.folders),
            "--",
            *argv,
        ]

    def ran_out_of_memory(self) -> bool:
        """Say whether the kernel killed something in here because of the memory limit."""
        for folder in self.folders:
            for name in ("memory.events", "memory.oom_control"):
                with suppress(OSError):
                    counts = dict(line.split() for line in (folder / name).read_text().splitlines())
                    if int(counts.get("oom_kill", "0")):
                        return True
        return False


@cache
def _parents() -> tuple[Path, ...]:
    """Return the folders in which groups can be made, or nothing. Tried once, by making one."""
    if os.geteuid() != 0:
        return ()
    candidates = (_ROOT,) if (_ROOT / "cgroup.controllers").is_file() else (_ROOT / "memory", _ROOT / "pids")
    parents = tuple(folder / _NAME for folder in candidates)
    try:
        for parent in parents:
            parent.mkdir(exist_ok=True)
        if len(parents) == 1:
            (parents[0] / "cgroup.subtree_control").write_text("+memory +pids")
        with _made(parents, memory_bytes=64 << 20):
            pass
    except OSError:
        return ()
    for parent in parents:
        _sweep(parent)
    return parents


def _sweep(parent: Path) -> None:
    """Remove groups that an interrupted process left; one in use cannot be removed."""
    for folder in parent.iterdir():
        with suppress(OSError):
            if folder.is_dir() and time.time() - folder.stat().st_mtime > _STALE_S:
                folder.rmdir()


@contextmanager
def _made(parents: tuple[Path, ...], *, memory_bytes: int) -> Iterator[Cage]:
    name = uuid.uuid4().hex
    folders = tuple(parent / name for parent in parents)
    try:
        for folder in folders:
            folder.mkdir()
            for limit, value in (
                ("pids.max", _MAX_TASKS),
                ("memory.max", memory_bytes),
                ("memory.swap.max", 0),
                ("memory.limit_in_bytes", memory_bytes),
            ):
                if (folder / limit).exists():
                    (folder / limit).write_text(str(value))
        yield Cage(folders)
    finally:
        for folder in folders:
            _remove(folder)


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # the last process has not quite gone
            time.sleep(0.002)
        else:
            return


@contextmanager
def cage(*, memory_bytes: int) -> Iterator[Cage]:
    """Make groups with these limits for one run, and remove them after it; an empty cage where that cannot be."""
    parents = _parents()
    if not parents:
        yield Cage()
        return
    with _made(parents, memory_bytes=memory_bytes) as made:
        yield made


def available() -> bool:
    """Say whether runs are put into control groups here."""
    return bool(_parents())
