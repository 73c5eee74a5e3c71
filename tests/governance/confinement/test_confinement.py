"""What confined code can still do: compute, and read what it was given. Tried in processes that confine themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONFINE = """
import os, socket, sys, threading
from pathlib import Path
from governance.confinement import landlock, syscalls
readable, writable, secret = map(Path, sys.argv[1:])
program = syscalls.filter_program(programs=False)
landlock.confine_this_process(
    readable=[readable, Path(sys.prefix), Path(sys.base_prefix), Path("/usr"), Path("/lib"), Path("/proc/self")],
    writable=[writable, Path("/nowhere/at/all")],
)
syscalls.load(program)
"""


@pytest.fixture
def run(tmp_path):
    folders = [tmp_path / name for name in ("readable", "writable", "secret")]
    for folder in folders:
        folder.mkdir()
        (folder / "file").write_text(folder.name)

    def confined(code):
        command = [sys.executable, "-c", CONFINE + code, *map(str, folders)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    return confined


@pytest.mark.parametrize(
    "code",
    [
        "(secret / 'file').read_text()",
        "list(secret.iterdir())",
        "list(Path('/').iterdir())",
        "(readable / 'file').write_text('x')",
        "(readable / 'new').write_text('x')",
        "(readable / 'file').unlink()",
        "(writable / 'file').rename(secret / 'there')",
        "os.link(readable / 'file', writable / 'there')",
        "os.truncate(readable / 'file', 0)",
        f"Path('/proc/{os.getpid()}/environ').read_bytes()",
        "(writable / 'link').symlink_to(secret / 'file'); (writable / 'link').read_text()",
        "socket.socket()",
        "socket.socket(socket.AF_UNIX)",
        "os.fork()",
        "os.execv(sys.executable, [sys.executable, '-c', 'pass'])",
        "os.memfd_create('x')",
        "os.chroot(readable)",
        "os.setns(0, 0)" if hasattr(os, "setns") else "os.fork()",
    ],
)
def test_what_is_not_given_is_refused(run, code):
    done = run(code)
    assert done.returncode == 1
    assert "PermissionError" in done.stderr or "Invalid cross-device link" in done.stderr, done.stderr


def test_what_is_given_works(run):
    done = run(
        "import json, decimal, ctypes\n"
        "assert (readable / 'file').read_text() == 'readable'\n"
        "(writable / 'new').write_text('x'); (writable / 'more').mkdir(); (writable / 'new').unlink()\n"
        "thread = threading.Thread(target=print, args=['computed']); thread.start(); thread.join()\n"
        "a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'\n"
    )
    assert (done.returncode, done.stdout) == (0, "computed\n"), done.stderr


def test_threads_are_confined_as_well(run):
    done = run(
        "def read():\n"
        "    try: (secret / 'file').read_text()\n"
        "    except PermissionError: print('refused')\n"
        "thread = threading.Thread(target=read); thread.start(); thread.join()"
    )
    assert done.stdout == "refused\n", done.stderr
