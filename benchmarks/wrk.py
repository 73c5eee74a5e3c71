"""wrk, the load generator: finding it, running it, reading what it says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer %(token)s"
wrk.body = %(body)s
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nJSON {"requests":%%d,"duration_us":%%d,"p50_us":%%d,"p99_us":%%d,"errors":%%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


class WrkMissing(Exception):
    """wrk is not installed, and could not be."""


@dataclass(frozen=True)
class Sample:
    """One run of wrk. Latencies in milliseconds; errors count failed connections and every answer but 2xx and 3xx."""

    rps: float
    p50_ms: float
    p99_ms: float
    errors: int


def find() -> str:
    """The path of wrk; installs it with apt where that is possible. Raises WrkMissing, which says what to do."""
    found = shutil.which("wrk")
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-qq", "-y", "wrk"]):
            subprocess.run(command, env=environment, capture_output=True, check=False)
        found = shutil.which("wrk")
    if found is None:
        raise WrkMissing(
            "The load generator wrk is missing and could not be installed from here. "
            "Install it (Debian, Ubuntu: sudo apt-get install wrk; macOS: brew install wrk) and start again."
        )
    return found


def write_script(path: Path, *, token: str, body: str) -> Path:
    """A wrk script that posts `body` with a bearer token."""
    path.write_text(SCRIPT % {"token": token, "body": json.dumps(body)}, encoding="utf-8")
    return path


def measure(wrk: str, url: str, script: Path, *, connections: int, seconds: float) -> Sample:
    """Drive `url` in a closed loop with one thread of wrk."""
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", "-s", str(script), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("JSON ")]
    if done.returncode or not lines:
        raise RuntimeError(f"wrk failed: {done.stdout}{done.stderr}")
    said = json.loads(lines[-1].removeprefix("JSON "))
    return Sample(
        rps=said["requests"] / (said["duration_us"] / 1e6),
        p50_ms=said["p50_us"] / 1e3,
        p99_ms=said["p99_us"] / 1e3,
        errors=said["errors"],
    )
