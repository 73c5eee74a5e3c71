"""`make bench-batch`: rows per second of batch jobs beside ONNX Runtime alone, and one worker beside two.

Starts embedded PostgreSQL and Valkey in a folder of its own and real Celery workers, and sends Parquet files as batch
jobs: a table of 30 numbers through a small network, and 32x32 images through ResNet-20. In the same run, turn by turn,
a bare process reads the same file and runs the same model with one thread and as many rows in a run; it writes nothing.
A job is measured from the end of its upload to its joined, sealed Parquet result, all checks on: cutting, leases,
sealing and joining included. Per core means per second of processor time, so that what else the machine does takes no
part in the ratio. Two workers are judged by the busier one's processor time, which is how long the job takes where
each has a core to itself; rows/s is what the clock said here.
The figures are medians over the rounds. Exits with 1 when a goal is not held.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from openclaw_site.config import CHECKOUT, Config
from openclaw_site.runner.services import available_services, site_environment

NAMES = {"tab": "tabular MLP", "resnet": "ResNet-20"}
# Of the raw runtime's rows per core second; what two workers do of one worker's rows per second.
CORE_GOALS = {"resnet": 0.90}
SCALING_GOALS = {"resnet": 1.5}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2, help="turns of each (default: 2)")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=110)
    with tempfile.TemporaryDirectory(prefix="openclaw-bench-") as name:
        console.print("Starting PostgreSQL and Valkey (in a folder of their own) …")
        taken = _measure(console, Path(name), arguments.rounds)
    rows = _rows(taken)
    _print(console, rows)
    broken = _broken_goals(rows)
    for sentence in broken:
        console.print(f"[red]{sentence}[/red]")
    console.print("Not everything is held." if broken else "The goals are held.")
    print(json.dumps({"rows": [{"model": m, "what": w, **figures} for (m, w), figures in rows.items()]}))
    return 1 if broken else 0


def _measure(console: Console, folder: Path, rounds: int) -> list[dict[str, Any]]:
    environment = {**os.environ, "OPENCLAW_VAR": str(folder / "var")}
    for inherited in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "OPENCLAW_PUBLIC_URL"):
        environment.pop(inherited, None)
    config = Config.from_environ(environment)
    taken = []
    with available_services(config) as addresses, (folder / "batch.log").open("w+") as log:
        subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "django", "migrate", "--no-input", "--verbosity=0"],
            cwd=CHECKOUT,
            env=environment | site_environment(config, addresses, owner=True),
            check=True,
        )
        inside = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.batch_jobs", str(folder), str(rounds)],
            cwd=CHECKOUT,
            env=environment | site_environment(config, addresses),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert inside.stdout is not None
        for line in inside.stdout:
            taken.append(json.loads(line))
            one = taken[-1]
            console.print(f"{NAMES[one['model']]}, {one['what']}: {one['rows'] / one['seconds']:,.0f} rows/s")
        if inside.wait():
            log.seek(0)
            raise RuntimeError(f"the jobs could not be measured:\n{log.read()[-4000:]}")
    return taken


def _rows(taken: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, float]]:
    """By model and what computed: rows per second, and per second of processor time."""
    by_cell: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in taken:
        by_cell.setdefault((one["model"], one["what"]), []).append(one)
    return {
        cell: {
            "rows": ones[0]["rows"],
            "per_second": round(statistics.median(one["rows"] / one["seconds"] for one in ones), 1),
            "per_core_second": round(statistics.median(one["rows"] / one["core_seconds"] for one in ones), 1),
            "per_second_at_most": round(
                statistics.median(
                    one["rows"] / one.get("busiest_core_seconds", one["core_seconds"]) for one in ones
                ),
                1,
            ),
        }
        for cell, ones in by_cell.items()
    }


def _ratios(rows: dict[tuple[str, str], dict[str, float]], model: str) -> tuple[float, float]:
    """One worker's rows per core second, of the raw runtime's; two workers' speed, each on a core, of one worker's."""
    one, two, raw = rows[model, "1 workers"], rows[model, "2 workers"], rows[model, "raw"]
    return one["per_core_second"] / raw["per_core_second"], two["per_second_at_most"] / one[
        "per_second_at_most"
    ]


def _by_the_clock(rows: dict[tuple[str, str], dict[str, float]], model: str) -> float:
    return rows[model, "2 workers"]["per_second"] / rows[model, "1 workers"]["per_second"]


def _print(console: Console, rows: dict[tuple[str, str], dict[str, float]]) -> None:
    table = Table("model", "computed by", title="A Parquet file, from the end of the upload to the result")
    for column in ("rows", "rows/s", "rows per core second", "of the raw runtime"):
        table.add_column(column, justify="right")
    for (model, what), figures in sorted(rows.items()):
        share = figures["per_core_second"] / rows[model, "raw"]["per_core_second"]
        table.add_row(
            NAMES[model],
            "ONNX Runtime alone" if what == "raw" else what.replace("1 workers", "1 worker"),
            f"{figures['rows']:,.0f}",
            f"{figures['per_second']:,.0f}",
            f"{figures['per_core_second']:,.0f}",
            f"{share:.2f}",
        )
    console.print(table)
    for model, name in NAMES.items():
        core, scaling = _ratios(rows, model)
        console.print(
            f"{name}: {core:.2f} of the raw runtime's rows per core; two workers with a core each do "
            f"{scaling:.2f} times one's (by the clock, here: {_by_the_clock(rows, model):.2f})"
        )
    load = os.getloadavg()[0]
    console.print(
        f"{os.cpu_count()} cores, shared with PostgreSQL and Valkey and what else the machine does (load {load:.1f}); "
        "medians of the rounds."
    )


def _broken_goals(rows: dict[tuple[str, str], dict[str, float]]) -> list[str]:
    """What falls short, in sentences."""
    broken = []
    for model, name in NAMES.items():
        core, scaling = _ratios(rows, model)
        if core < CORE_GOALS.get(model, 0):
            broken.append(
                f"{name}: {core:.2f} of the raw runtime per core; the goal is {CORE_GOALS[model]:.2f}"
            )
        if scaling < SCALING_GOALS.get(model, 0):
            broken.append(
                f"{name}: two workers do {scaling:.2f} times one's; the goal is {SCALING_GOALS[model]}"
            )
    return broken


if __name__ == "__main__":
    raise SystemExit(main())
