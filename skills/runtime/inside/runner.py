"""Started inside the sandbox: take one request, set the limits, run it, write one answer.

Request on standard input (JSON): `entry`, `entrypoint`, `payload`, `limits`. Answer on standard output: the line
`ready`, then one JSON object. Whatever the called code prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable

READY = b"ready\n"


def set_limits(limits: dict) -> None:
    """Lower the hard limits of this process; nothing in here can raise them again."""
    cpu_s = max(int(limits["cpu_s"] + 0.999), 1)
    for kind, soft, hard in (
        (resource.RLIMIT_AS, limits["address_space_bytes"], limits["address_space_bytes"]),
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
        (resource.RLIMIT_FSIZE, limits["file_bytes"], limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, 64, 64),
        (resource.RLIMIT_NPROC, 64, 64),  # counted inside the sandbox's own user namespace; root is exempt
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
    ):
        resource.setrlimit(kind, (soft, hard))


def call_skill(request: dict) -> object:
    """Import the bundle's file and call its function with the payload."""
    import importlib.util

    path, _, function = request["entrypoint"].rpartition(":")
    path = os.path.join("/plugin", path)
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location("skill", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["skill"] = module
    spec.loader.exec_module(module)
    return getattr(module, function)(request["payload"])


def try_model(request: dict) -> object:
    """Load the model, compare it with its declaration and predict once."""
    import model_dry_run  # type: ignore[import-not-found]  # found in /runtime, where this runs

    return model_dry_run.try_model(os.path.join("/plugin", request["entrypoint"]), request["payload"])


def probe(request: dict) -> object:
    """Say which parts of the confinement hold, seen from inside."""
    import socket

    def refused(attempt: Callable[[], object]) -> bool:
        try:
            attempt()
        except OSError:
            return True
        return False

    return {
        "network": refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)),
        "processes": refused(lambda: os.fork() or os._exit(0)),
        "files": not any(os.path.exists(path) for path in ("/etc", "/home", "/root", "/var", "/proc/1")),
        "environment": not [name for name in os.environ if name not in request["payload"]],
        "writing": refused(lambda: open("/written", "w").close()),
    }


ENTRIES = {"skill": call_skill, "model-dry-run": try_model, "probe": probe}


def main() -> None:
    """Serve one request and leave."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.buffer.read())
    limits = request["limits"]
    if limits["libraries"]:
        sys.path.append("/libraries")
    sys.path.append("/runtime")
    set_limits(limits)
    answers.write(READY)
    answers.flush()
    started = time.perf_counter()
    try:
        answer = {"status": "ok", "output": ENTRIES[request["entry"]](request)}
        line = json.dumps(answer, allow_nan=False).encode()
        if len(line) > limits["output_bytes"]:
            line = json.dumps({"status": "error", "reason": "output-too-large"}).encode()
    except MemoryError:
        line = b'{"status": "memory", "reason": "memory"}'
    except BaseException as error:  # noqa: BLE001 - whatever the called code raises is an answer
        import traceback

        traceback.print_exc()
        unfit = isinstance(error, TypeError | ValueError) and "answer" in locals()
        reason = "output-not-json" if unfit else "exception"
        line = json.dumps({"status": "error", "reason": reason, "exception": type(error).__name__}).encode()
    with contextlib.suppress(Exception):  # the called code may have closed them
        sys.stdout.flush()
        sys.stderr.flush()
    call_s = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "call_s": round(call_s, 6),
        "cpu_s": round(used.ru_utime + used.ru_stime, 6),
        "max_rss_bytes": used.ru_maxrss * 1024,
    }
    answers.write(line[:-1] + b", " + json.dumps(figures).encode()[1:])
    answers.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
