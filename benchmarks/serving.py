"""`make bench-serving`: requests per second and latency of `/v2/models/{model}/infer`, every check switched on.

Starts the whole site as `make run` does (embedded PostgreSQL and Valkey, one web process, workers, beat) in a folder of
its own, gets a token from the token endpoint, and drives two models with wrk at 1, 16 and 64 connections. In the same
run, turn by turn, it measures a bare granian application that answers a constant (the ceiling) and one that decodes the
body and runs the model in its event loop, without any check (inline). wrk shares the machine's cores with what it
measures. The figures are medians over the rounds. Exits with 1 when the floor or a goal is not held.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import graphs, wrk
from benchmarks.serving_site import bare, site

FLOOR_RPS = {"tab": 1500.0, "cnn": 500.0}
FLOOR_CONNECTIONS = (16, 64)
FLOOR_P99_MS = 200.0
FLOOR_WEB_RSS_MB = 300.0
# Ratios say the same on any machine: (model, connections): beside which server, at least how much of its requests/s.
GOALS = {
    ("tab", 64): ("ceiling", 0.25),
    ("resnet", 16): ("inline", 0.80),
    ("resnet", 64): ("inline", 0.80),
}


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
        graphs.make(folder)  # what the inline server loads
        with (
            site(folder) as (url, web_pid, token),
            bare(folder, "benchmarks.ceiling:application") as ceiling_url,
            bare(folder, "benchmarks.ceiling_inline:application") as inline_url,
        ):
            servers = {"openclaw": url, "inline": inline_url, "ceiling": ceiling_url}
            samples = _measure(console, generator, folder, servers, token, arguments)
            memory = _memory(web_pid)
    rows = _rows(samples)
    _print(console, rows, memory)
    broken = _broken_floors(rows, memory)
    for sentence in broken:
        console.print(f"[red]{sentence}[/red]")
    console.print("Not everything is held." if broken else "The floor and the goals are held.")
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


def _measure(
    console: Console,
    generator: str,
    folder: Path,
    servers: dict[str, str],
    token: str,
    arguments: argparse.Namespace,
) -> dict[tuple[str, str, int], list[wrk.Sample]]:
    """Every cell once per round, the servers taking turns."""
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
        if row.rps < FLOOR_RPS.get(row.model, 0):
            broken.append(f"{where}: {row.rps:.0f} requests/s; the floor is {FLOOR_RPS[row.model]:.0f}")
        if row.p99_ms >= FLOOR_P99_MS:
            broken.append(f"{where}: p99 is {row.p99_ms:.0f} ms; it must be below {FLOOR_P99_MS:.0f} ms")
    measured = {(row.server, row.model, row.connections): row.rps for row in rows}
    for (model, connections), (beside, goal) in GOALS.items():
        if (other := measured.get((beside, model, connections))) is None:
            continue
        reached = measured["openclaw", model, connections] / other
        if reached < goal:
            broken.append(
                f"{model} at {connections} connections: {reached:.2f} of {beside}; the goal is {goal:.2f}"
            )
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
    by_cell = {(row.server, row.model, row.connections): row.rps for row in rows}
    for (server, model, connections), rps in by_cell.items():
        if server == "openclaw":
            share = rps / by_cell["inline", model, connections]
            console.print(
                f"{model} at {connections} connections: {share:.2f} of the inline server without checks"
            )
    console.print(
        f"{os.cpu_count()} cores, shared with wrk; medians of the rounds; closed loop, so not open-load p99."
    )


# --- Processes -----------------------------------------------------------------------------------------------------


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


if __name__ == "__main__":
    raise SystemExit(main())
