"""The sandbox holds: what confined code cannot see, cannot do, and cannot use up."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from skills.runtime import cgroups, confinement, sandbox
from skills.runtime.sandbox import SandboxLimits, SandboxResult, SandboxSpec, run_confined, sandbox_available

LIMITS = SandboxLimits(wall_s=5, cpu_s=2, memory_bytes=64 << 20, output_bytes=64 << 10, file_bytes=1 << 20)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tmp_path


def run(bundle: Path, body: str, payload: object = None, **limits: float) -> SandboxResult:
    source = "import os, sys\ndef run(payload):\n" + "".join(f"    {line}\n" for line in body.splitlines())
    (bundle / "skill.py").write_text(source)
    return run_confined(
        SandboxSpec(
            entry="skill",
            bundle=bundle,
            entrypoint="skill.py:run",
            payload=payload,
            limits=replace(LIMITS, **limits),  # type: ignore[arg-type]
        )
    )


def test_it_works_on_this_machine() -> None:
    probe = sandbox_available()
    assert probe.ok, probe.reason
    assert probe.tier in ("bubblewrap", "bubblewrap+cgroup")


def test_a_skill_answers(bundle: Path) -> None:
    (bundle / "helper.py").write_text("FACTOR = 3\n")
    result = run(
        bundle,
        "import helper\nprint('seen')\nreturn {'n': payload['n'] * helper.FACTOR, 'z': '字'}",
        {"n": 2},
    )
    assert (result.status, result.output, result.stderr) == ("ok", {"n": 6, "z": "字"}, "seen\n")
    assert 0 < result.call_s < result.wall_s and result.cpu_s > 0 and result.max_rss_bytes > 1 << 20


def test_files_of_the_host_are_not_there(bundle: Path) -> None:
    result = run(
        bundle,
        "hidden = ['/etc', '/home', '/root', '/var', '/proc', '/sys', '/run', '/usr/bin', '/usr/share', '/bin']\n"
        "return {'root': sorted(os.listdir('/')), 'seen': [p for p in hidden if os.path.exists(p)],\n"
        "        'plugin': os.listdir('/plugin'), 'dev': sorted(os.listdir('/dev'))}",
    )
    assert set(result.output["root"]) <= {"dev", "lib", "lib64", "plugin", "python", "runtime", "tmp", "usr"}
    assert result.output["seen"] == []
    assert result.output["plugin"] == ["skill.py"]
    assert result.output["dev"] == ["null", "urandom"]


def test_installed_packages_are_not_there(bundle: Path) -> None:
    body = (
        "found = []\nfor name in ('django', 'numpy', 'pip', 'click'):\n    try:\n        __import__(name)\n"
    )
    result = run(
        bundle, body + "        found.append(name)\n    except ImportError:\n        pass\nreturn found"
    )
    assert result.output == []


def test_nothing_can_be_written_but_tmp(bundle: Path) -> None:
    result = run(
        bundle,
        "open('/tmp/x', 'w').write('1')\nrefused = []\n"
        "for path in ('/x', '/plugin/x', '/dev/x', '/python/x', '/runtime/x', '/lib/x', '/usr/lib/x'):\n"
        "    try:\n        open(path, 'w')\n    except OSError:\n        refused.append(path)\n"
        "return refused",
    )
    assert len(result.output) == 7
    assert run(bundle, "return os.listdir('/tmp')").output == []


def test_the_environment_is_cleared(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCLAW_SECRET", "do not show")
    output = run(bundle, "return dict(os.environ)").output
    assert "do not show" not in str(output)
    assert set(output) <= set(sandbox._ENVIRONMENT)


def test_it_runs_as_nobody_with_no_open_files_of_ours(bundle: Path) -> None:
    secret = os.open(bundle, os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        result = run(
            bundle,
            "import stat\nkinds = {}\n"
            "for n in range(3, 256):\n"
            "    try:\n        kinds[n] = stat.S_IFMT(os.fstat(n).st_mode)\n    except OSError:\n        pass\n"
            "return {'uid': os.getuid(), 'gid': os.getgid(), 'kinds': [k == stat.S_IFIFO for k in kinds.values()]}",
        )
    finally:
        os.close(secret)
    assert (result.output["uid"], result.output["gid"]) == (65534, 65534)
    assert result.output["kinds"] == [True]  # only the pipe that the answer goes into


@pytest.mark.parametrize(
    "family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG"]
)
def test_there_is_no_network(bundle: Path, family: str) -> None:
    result = run(
        bundle,
        "import socket\ntry:\n    socket.socket(getattr(socket, payload), socket.SOCK_DGRAM)\n"
        "except OSError as error:\n    return type(error).__name__",
        family,
    )
    assert result.output == "PermissionError"


@pytest.mark.parametrize(
    "attempt",
    [
        "os.fork()",
        "__import__('subprocess').run(['/python/bin/python3', '-V'])",
        "os.posix_spawn('/python/bin/python3', ['x'], {})",
    ],
)
def test_no_process_is_made(bundle: Path, attempt: str) -> None:
    result = run(bundle, f"try:\n    {attempt}\nexcept OSError as error:\n    return type(error).__name__")
    assert result.output == "PermissionError"


def test_threads_and_event_loops_work(bundle: Path) -> None:
    result = run(
        bundle,
        "import asyncio, threading\nseen = []\nthread = threading.Thread(target=seen.append, args=(1,))\n"
        "thread.start()\nthread.join()\nasync def later():\n    await asyncio.sleep(0)\n    seen.append(2)\n"
        "asyncio.run(later())\nreturn seen",
    )
    assert result.output == [1, 2]


# x86_64 and aarch64 use different numbers; the C library's wrappers and `syscall` by number cover both ways in.
CALLS = {
    "unshare": "libc.unshare(0x10000000)",
    "namespace by clone": "libc.syscall({'x86_64': 56, 'aarch64': 220}[os.uname().machine], 0x10000011, 0, 0, 0, 0)",
    "setns": "libc.setns(0, 0)",
    "mount": "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
    "ptrace": "libc.ptrace(0, 0, 0, 0)",
    "chroot": "libc.chroot(b'/tmp')",
    "keyctl": "libc.syscall({'x86_64': 250, 'aarch64': 219}[os.uname().machine], 0, 0, 0, 0, 0)",
    "bpf": "libc.syscall({'x86_64': 321, 'aarch64': 280}[os.uname().machine], 0, 0, 0)",
    "userfaultfd": "libc.syscall({'x86_64': 323, 'aarch64': 282}[os.uname().machine], 0)",
    "io_uring_setup": "libc.syscall(425, 1, 0)",
    "perf_event_open": "libc.syscall({'x86_64': 298, 'aarch64': 241}[os.uname().machine], 0, 0, 0, 0, 0)",
    "memfd_create": "libc.memfd_create(b'x', 0)",
    "shmget": "libc.shmget(0, 4096, 0o1666)",
}


@pytest.mark.parametrize("name", CALLS)
def test_dangerous_system_calls_are_refused(bundle: Path, name: str) -> None:
    result = run(
        bundle,
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        f"ctypes.set_errno(0)\nreturn [{CALLS[name]}, ctypes.get_errno()]",
    )
    assert result.output == [-1, 1]  # EPERM


def test_clone3_does_not_exist(bundle: Path) -> None:
    result = run(
        bundle,
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nlibc.syscall(435, 0, 0)\nreturn ctypes.get_errno()",
    )
    assert result.output == 38  # ENOSYS, so that the C library uses clone, whose flags the filter can see


def test_memory_is_limited(bundle: Path) -> None:
    assert run(bundle, "return len(bytearray(256 << 20))").status == "memory"
    assert run(bundle, "return len(bytearray(32 << 20))").output == 32 << 20


def test_threads_are_limited(bundle: Path) -> None:
    """By RLIMIT_NPROC, or for root, whom the kernel exempts from it, by a control group where there is one."""
    result = run(
        bundle,
        "import threading, time\nthreading.stack_size(32768)\nstarted = 0\ntry:\n"
        "    for _ in range(1000):\n        threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
        "        started += 1\nexcept RuntimeError:\n    pass\nreturn started",
    )
    if os.geteuid() != 0 or cgroups.available():
        assert 8 <= result.output < 130


def test_a_flood_of_empty_files_is_stopped(bundle: Path) -> None:
    """An inode costs no file size, only memory of the kernel, which a control group counts."""
    body = "n = 0\nwhile True:\n    os.close(os.open(f'/tmp/{n}', os.O_CREAT | os.O_WRONLY))\n    n += 1"
    result = run(bundle, body, memory_bytes=16 << 20, wall_s=20, cpu_s=15 if cgroups.available() else 1)
    assert result.status == ("memory" if cgroups.available() else "timeout")


def test_control_groups_are_removed() -> None:
    with cgroups.cage(memory_bytes=64 << 20) as cage:
        assert all(folder.is_dir() for folder in cage.folders)
        assert bool(cage.folders) == cgroups.available()
        assert not cage.ran_out_of_memory()
    assert not any(folder.exists() for folder in cage.folders)


def test_limits_cannot_be_raised(bundle: Path) -> None:
    result = run(
        bundle,
        "import resource\nrefused = 0\n"
        "for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):\n"
        "    try:\n        resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "    except (ValueError, OSError):\n        refused += 1\nreturn refused",
    )
    assert result.output == 4


def test_processor_time_is_limited(bundle: Path) -> None:
    result = run(bundle, "while True: pass", cpu_s=1)
    assert (result.status, result.reason) == ("timeout", "cpu-time")
    assert result.wall_s < 3


def test_the_clock_is_limited_and_nothing_is_left(bundle: Path) -> None:
    started = time.monotonic()
    result = run(bundle, "import time\ntime.sleep(60)", wall_s=0.4)
    assert (result.status, result.reason) == ("timeout", "wall-clock")
    assert time.monotonic() - started < 2
    marker = str(bundle).encode()
    deadline = time.monotonic() + 2
    while (left := processes_with(marker)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def processes_with(marker: bytes) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (
                entry.name.isdigit()
                and int(entry.name) != os.getpid()
                and marker in (entry / "cmdline").read_bytes()
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_output_is_limited(bundle: Path) -> None:
    assert run(bundle, "return 'x' * (1 << 20)").reason == "output-too-large"
    flood = run(
        bundle,
        "while True:\n    for n in range(3, 8):\n        try: os.write(n, b'x' * 65536)\n        except OSError: pass",
    )
    assert (flood.status, flood.reason) == ("error", "output-too-large")
    noisy = run(bundle, "sys.stderr.write('a' * 500_000 + 'end')\nreturn 1")
    assert noisy.output == 1 and noisy.stderr.endswith("end") and len(noisy.stderr) <= 8 << 10


def test_files_are_limited(bundle: Path) -> None:
    result = run(
        bundle,
        "try:\n    open('/tmp/a', 'wb').write(bytes(2 << 20))\nexcept OSError as error:\n    first = error.errno\n"
        "written = 0\ntry:\n    for n in range(100):\n        written += open(f'/tmp/{n}', 'wb').write(b'x' * 99_999)\n"
        "except OSError:\n    pass\nreturn [first, written]",
    )
    assert result.output[0] == 27 and result.output[1] <= 1 << 20


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("1 / 0", "error", "exception"),
        ("raise SystemExit(0)", "error", "exception"),
        ("os._exit(0)", "error", "no-result"),
        ("return object()", "error", "output-not-json"),
        ("return float('nan')", "error", "output-not-json"),
        ("import ctypes; ctypes.string_at(1)", "killed", "SIGSEGV"),
        ("os.abort()", "killed", "SIGABRT"),
        ('os.write(3, b\'{"status": "ok"\'); os._exit(0)', "error", "output-not-json"),
    ],
)
def test_every_other_end_is_told(bundle: Path, body: str, status: str, reason: str) -> None:
    result = run(bundle, body)
    assert (result.status, result.reason, result.output) == (status, reason, None)


def test_a_missing_function_is_an_error_with_its_traceback(bundle: Path) -> None:
    (bundle / "skill.py").write_text("")
    result = run_confined(SandboxSpec(entry="skill", bundle=bundle, entrypoint="skill.py:run", limits=LIMITS))
    assert result.status == "error" and "AttributeError" in result.stderr


def test_many_threads_at_once(bundle: Path) -> None:
    """Descriptors of one run must not reach another, and the answers must not mix."""
    (bundle / "skill.py").write_text("def run(payload):\n    return payload\n")

    def call(n: int) -> object:
        spec = SandboxSpec(
            entry="skill", bundle=bundle, entrypoint="skill.py:run", payload=[n] * 5000, limits=LIMITS
        )
        return run_confined(spec).output

    before = len(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, range(24))) == [[n] * 5000 for n in range(24)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert threading.active_count() < 20


def test_without_the_sandbox_nothing_runs(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A bubblewrap that cannot make namespaces is found by the probe, and the code is refused."""
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sandbox, "_probe", None)
    monkeypatch.setattr(confinement, "bubblewrap", lambda: str(broken))
    probe = sandbox_available()
    assert not probe.ok and probe.tier == "none"
    assert probe.reason.startswith("The kernel does not let this user make namespaces (bwrap: No permissions")
    result = run(bundle, "return 1")
    assert result.status == "unavailable" and result.reason == probe.reason


def test_the_start_is_quick(bundle: Path) -> None:
    times = sorted(run(bundle, "return 1").wall_s for _ in range(5))
    assert times[0] < 0.5
