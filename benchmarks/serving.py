"""`make bench-serving`: requests per second and latency of `/v2/models/{model}/infer`, every check switched on.

Starts the whole site as `make run` does (embedded PostgreSQL and Valkey, one web process, workers, beat) in a folder of
its own, gets a token from the token endpoint, and drives two models with wrk at 1, 16 and 64 connections. In the same
run, turn by turn, it measures a bare granian application that answers a constant: the ceiling. wrk shares the machine's
cores with what it measures. The figures are medians over the rounds. Exits with 1 when the floor is not held.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import graphs, wrk
from openclaw_site.config import CHECKOUT, Config
from openclaw_site.runner.services import available_services, site_environment

FLOOR_RPS = {"tab": 1500.0, "cnn": 500.0}
FLOOR_CONNECTIONS = (16, 64)
FLOOR_P99_MS = 200.0
FLOOR_WEB_RSS_MB = 300.0
START_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Row:
    """One line of the result. `ratio` is to the ceiling's requests per second of the same rounds."""

    server: str
    model: str
    connections: int
    rps: float
    p50_ms: float
    p99_ms: float
    errors: int
    ratio: float


@dataclass(frozen=True)
class Memory:
    """One process's memory. PSS counts shared pages in parts, so that the column can be summed."""

    process: str
    rss_mb: float
    pss_mb: float


def main() -> int:
    arguments = _arguments()
    console = Console(highlight=False, width=110)
    try:
        generator = wrk.find()
    except wrk.WrkMissing as missing:
        console.print(str(missing))
        return 1
    with tempfile.TemporaryDirectory(prefix="openclaw-bench-") as name:
        folder = Path(name)
        console.print("Starting the site (in a folder of its own) and the ceiling …")
        with _site(folder) as (url, web_pid, token), _ceiling(folder) as ceiling_url:
            samples = _measure(
                console, generator, folder, {"openclaw": url, "ceiling": ceiling_url}, token, arguments
            )
            memory = _memory(web_pid)
    rows = _rows(samples)
    _print(console, rows, memory)
    broken = _broken_floors(rows, memory)
    for sentence in broken:
        console.print(f"[red]{sentence}[/red]")
    console.print("The floor is not held." if broken else "The floor is held.")
    print(json.dumps({"rows": [asdict(row) for row in rows]}))
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3, help="per cell and round (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each server (default: 3)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    return parser.parse_args()


# --- What is measured ----------------------------------------------------------------------------------------------


@contextmanager
def _site(folder: Path) -> Iterator[tuple[str, int, str]]:
    """The site's address, its web server's process id and a token of a client that may call both endpoints."""
    port = _free_port()
    environment = {**os.environ, "OPENCLAW_VAR": str(folder / "var"), "OPENCLAW_PORT": str(port)}
    for inherited in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "OPENCLAW_PUBLIC_URL"):
        environment.pop(inherited, None)
    config = Config.from_environ(environment)
    log = folder / "site.log"
    with log.open("w") as stream:
        command = [sys.executable, "-m", "openclaw_site.cli", "run", "--no-demo"]
        runner = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=stream, stderr=stream)
    try:
        _wait(runner, f"{config.public_url}/health/ready", log)
        yield config.public_url, _web_process(runner.pid), _token(folder, config)
    finally:
        runner.send_signal(signal.SIGINT)
        runner.wait(60)


def _token(folder: Path, config: Config) -> str:
    """Seed the site and get a token for the benchmark's client, as any client gets one."""
    with available_services(config) as addresses:
        seeded = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.seed_serving", str(folder)],
            cwd=CHECKOUT,
            env=site_environment(config, addresses),
            capture_output=True,
            text=True,
            check=False,
        )
    if seeded.returncode:
        raise RuntimeError(f"the site could not be prepared:\n{seeded.stderr}")
    client = json.loads(seeded.stdout.splitlines()[-1])
    answer = httpx.post(f"{config.public_url}/o/token/", data={"grant_type": "client_credentials", **client})
    answer.raise_for_status()
    return str(answer.json()["access_token"])


@contextmanager
def _ceiling(folder: Path) -> Iterator[str]:
    port, log = _free_port(), folder / "ceiling.log"
    options = ["--interface=asgi", "--host=127.0.0.1", f"--port={port}", "--workers=1", "--loop=uvloop"]
    with log.open("w") as stream:
        command = [
            sys.executable,
            "-m",
            "granian",
            *options,
            "--no-access-log",
            "benchmarks.ceiling:application",
        ]
        server = subprocess.Popen(command, cwd=CHECKOUT, stdout=stream, stderr=stream)
    try:
        _wait(server, f"http://127.0.0.1:{port}/", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)


def _measure(
    console: Console,
    generator: str,
    folder: Path,
    servers: dict[str, str],
    token: str,
    arguments: argparse.Namespace,
) -> dict[tuple[str, str, int], list[wrk.Sample]]:
    """Every cell once per round, the two servers taking turns."""
    samples: dict[tuple[str, str, int], list[wrk.Sample]] = {}
    scripts = {}
    for model in graphs.make(folder):
        body = json.dumps(model.request())
        scripts[model.name] = wrk.write_script(folder / f"{model.name}.lua", token=token, body=body)
        for url in servers.values():
            wrk.measure(generator, _target(url, model.name), scripts[model.name], connections=4, seconds=1)
    for number in range(arguments.rounds):
        console.print(f"Round {number + 1} of {arguments.rounds} …")
        for model_name, script in scripts.items():
            for connections in arguments.connections:
                for server, url in servers.items():
                    sample = wrk.measure(
                        generator,
                        _target(url, model_name),
                        script,
                        connections=connections,
                        seconds=arguments.seconds,
                    )
                    samples.setdefault((server, model_name, connections), []).append(sample)
    return samples


def _target(url: str, model: str) -> str:
    return f"{url}/v2/models/{model}/infer"


# --- What comes of it ----------------------------------------------------------------------------------------------


def _rows(samples: dict[tuple[str, str, int], list[wrk.Sample]]) -> list[Row]:
    rows = []
    for (server, model, connections), taken in samples.items():
        rps = statistics.median(sample.rps for sample in taken)
        ceiling = statistics.median(sample.rps for sample in samples["ceiling", model, connections])
        rows.append(
            Row(
                server=server,
                model=model,
                connections=connections,
                rps=round(rps, 1),
                p50_ms=round(statistics.median(sample.p50_ms for sample in taken), 2),
                p99_ms=round(statistics.median(sample.p99_ms for sample in taken), 2),
                errors=sum(sample.errors for sample in taken),
                ratio=round(rps / ceiling, 3),
            )
        )
    return rows


def _broken_floors(rows: list[Row], memory: list[Memory]) -> list[str]:
    """What falls short, in sentences."""
    broken = []
    for row in rows:
        if row.server != "openclaw":
            continue
        where = f"{row.model} at {row.connections} connections"
        if row.errors:
            broken.append(f"{where}: {row.errors} errors; there must be none")
        if row.connections not in FLOOR_CONNECTIONS:
            continue
        if row.rps < FLOOR_RPS[row.model]:
            broken.append(f"{where}: {row.rps:.0f} requests/s; the floor is {FLOOR_RPS[row.model]:.0f}")
        if row.p99_ms >= FLOOR_P99_MS:
            broken.append(f"{where}: p99 is {row.p99_ms:.0f} ms; it must be below {FLOOR_P99_MS:.0f} ms")
    for process in memory:
        if process.process.startswith("web") and process.rss_mb >= FLOOR_WEB_RSS_MB:
            broken.append(
                f"{process.process}: {process.rss_mb:.0f} MB; it must be below {FLOOR_WEB_RSS_MB:.0f} MB"
            )
    return broken


def _print(console: Console, rows: list[Row], memory: list[Memory]) -> None:
    table = Table("model", "connections", "server", title="POST /v2/models/{model}/infer, one row a request")
    for column in ("requests/s", "p50 ms", "p99 ms", "errors", "of the ceiling"):
        table.add_column(column, justify="right")
    for row in sorted(rows, key=lambda row: (row.model, row.connections, row.server)):
        figures = (
            f"{row.rps:.0f}",
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            str(row.errors),
            f"{row.ratio:.2f}",
        )
        table.add_row(row.model, str(row.connections), row.server, *figures)
    console.print(table)
    table = Table("process", title="Memory after the run")
    table.add_column("RSS MB", justify="right")
    table.add_column("PSS MB", justify="right")
    for process in memory:
        table.add_row(process.process, f"{process.rss_mb:.0f}", f"{process.pss_mb:.0f}")
    console.print(table)
    console.print(
        f"{os.cpu_count()} cores, shared with wrk; medians of the rounds; closed loop, so not open-load p99."
    )


# --- Processes -----------------------------------------------------------------------------------------------------


def _web_process(runner_pid: int) -> int:
    for process in psutil.Process(runner_pid).children():
        if "granian" in " ".join(process.cmdline()):
            return process.pid
    raise RuntimeError("the runner has no web server")


def _memory(web_pid: int) -> list[Memory]:
    """The web server's processes, then the rest of the site's, largest first."""
    web = psutil.Process(web_pid)
    named = {web.pid: "web (granian)"} | {child.pid: "web worker" for child in web.children(recursive=True)}
    taken = []
    for process in psutil.Process(web.ppid()).children(recursive=True):
        try:
            info, command = process.memory_full_info(), " ".join(process.cmdline()[:7])
        except psutil.Error:
            continue
        name = named.get(process.pid) or _short_name(command)
        taken.append(Memory(name, info.rss / 2**20, getattr(info, "pss", info.rss) / 2**20))
    return sorted(taken, key=lambda one: (not one.process.startswith("web"), -one.pss_mb))


def _short_name(command: str) -> str:
    for known in ("beat", "worker", "postgres", "valkey"):
        if known in command:
            return f"celery {known}" if known in ("beat", "worker") else known
    return command[:40]


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"{url} does not answer:\n{log.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    raise SystemExit(main())
