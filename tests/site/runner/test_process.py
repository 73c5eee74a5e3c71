"""Children: stopped with everything they started, logs kept within bounds, left-overs told from strangers."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from openclaw_site.config import process_environment
from openclaw_site.runner.errors import RunnerError
from openclaw_site.runner.lock import READY, ChildRecord, RunLock, RunState
from openclaw_site.runner.process import (
    Child,
    Program,
    ask_left_over,
    created_at,
    end_left_over,
    rotate,
    tail,
)

STUBBORN_PARENT = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def program(folder: Path, code: str, *, grace_s: float = 0.3) -> Program:
    return Program(
        name="test",
        argv=[sys.executable, "-c", code],
        environment=process_environment(),
        log=folder / "test.log",
        folder=folder,
        grace_s=grace_s,
    )


def printed(child: Child) -> str:
    deadline = time.monotonic() + 10
    while not child.log_tail() and time.monotonic() < deadline:
        time.sleep(0.02)
    return child.log_tail()


def test_a_child_that_ignores_the_signal_goes_with_what_it_started(tmp_path: Path) -> None:
    child = Child(program(tmp_path, STUBBORN_PARENT))
    child.start()
    grandchild = psutil.Process(int(printed(child)))

    child.stop()

    assert child.exit_code == -signal.SIGKILL
    psutil.wait_procs([grandchild], timeout=5)
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


def test_hurry_cuts_the_grace_short(tmp_path: Path) -> None:
    child = Child(program(tmp_path, STUBBORN_PARENT, grace_s=60))
    child.start()
    printed(child)
    started = time.monotonic()
    child.stop(hurry=lambda: True)
    assert time.monotonic() - started < 5


def test_a_left_over_is_ended_and_a_stranger_with_the_same_id_is_not(tmp_path: Path) -> None:
    child = Child(program(tmp_path, "print('up', flush=True); import time; time.sleep(600)"))
    child.start()
    printed(child)
    created = created_at(child.pid)
    assert not ask_left_over(child.pid, created - 100, signal.SIGTERM)
    assert child.alive
    assert ask_left_over(child.pid, created, signal.SIGTERM)
    end_left_over(child.pid, created)
    assert not child.alive
    assert not ask_left_over(child.pid, created, signal.SIGTERM)


def test_a_left_over_group_is_found_without_its_leader(tmp_path: Path) -> None:
    child = Child(program(tmp_path, STUBBORN_PARENT))
    child.start()
    grandchild = psutil.Process(int(printed(child)))
    created = created_at(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    while child.alive:
        time.sleep(0.01)

    assert ask_left_over(child.pid, created, signal.SIGTERM)
    end_left_over(child.pid, created)

    psutil.wait_procs([grandchild], timeout=5)
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


def test_a_log_is_rotated_while_its_writer_keeps_writing(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 100 + b"\n")
        assert not rotate(log, limit_bytes=1000)
        assert rotate(log, limit_bytes=100)
        writer.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "a.log.1").stat().st_size == 101
    assert tail(log, lines=1) == "after"


def test_the_lock_is_held_once_and_freed_when_its_holder_ends(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from openclaw_site.runner.lock import RunLock;"
        "RunLock(Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(600)"
    )
    holder = program(tmp_path, code)
    environment = process_environment(PYTHONPATH=os.pathsep.join(sys.path))
    child = Child(
        Program(
            name="holder",
            argv=[*holder.argv, str(tmp_path)],
            environment=environment,
            log=holder.log,
            folder=tmp_path,
        )
    )
    child.start()
    assert printed(child) == "held"
    lock = RunLock(tmp_path)
    assert lock.holder() == child.pid
    with pytest.raises(RunnerError, match="already running"):
        lock.acquire()

    child.kill()

    assert lock.holder() == 0
    with lock:
        assert RunLock(tmp_path).holder() == os.getpid()


def test_the_state_file_is_read_back_and_a_broken_one_is_empty(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert RunState.read(tmp_path) == RunState()
    state = RunState(pid=7, phase=READY, url="http://127.0.0.1:1", children=[ChildRecord("web", 8, 1.5, 15)])
    state.write(tmp_path)
    assert RunState.read(tmp_path) == state
    (tmp_path / "run" / "state.json").write_text("{")
    assert RunState.read(tmp_path) == RunState()
