"""`make bench-access`: what the ground costs, measured on the real parts of one fresh installation.

Every section runs in a process of its own against embedded PostgreSQL and Valkey in a folder of its own; comparisons
take turns inside one process. Exits with 1 when a goal is not held. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from openclaw_site.config import CHECKOUT, Config
from openclaw_site.runner.services import available_services, site_environment

SECTIONS = ("decisions", "hot_route", "revocation", "audit", "envelopes", "row_security")


@dataclass(frozen=True)
class Goal:
    """A bound on one figure of one row."""

    section: str
    case: str
    figure: str
    at_most: float


GOALS = (
    Goal("decisions", "uncached, 1,000 policies and grants", "p50_ms", 1.0),
    Goal("hot_route", "decision from memory", "p50_ms", 0.2),
    Goal("revocation", "all trials", "max_ms", 1000.0),
    Goal("envelopes", "unwrap software warm", "p50_ms", 1.0),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    arguments = parser.parse_args()
    console = Console(highlight=False, width=110)
    results: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="openclaw-bench-") as name:
        environment = {**os.environ, "OPENCLAW_VAR": str(Path(name) / "var")}
        for inherited in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "OPENCLAW_PUBLIC_URL"):
            environment.pop(inherited, None)
        config = Config.from_environ(environment)
        console.print("Starting PostgreSQL and Valkey in a folder of their own …")
        with available_services(config) as addresses:
            _python("-m", "django", "migrate", "-v0", env=site_environment(config, addresses, owner=True))
            for section in arguments.sections:
                console.print(f"Measuring {section.replace('_', ' ')} …")
                environment = site_environment(config, addresses)
                if section == "row_security":
                    environment["OPENCLAW_BENCH_OWNER_URL"] = addresses.owner_url
                    _python("-m", "django", "collectstatic", "--no-input", "-v0", env=environment)
                said = _python("-m", f"benchmarks.access.{section}", env=environment)
                results[section] = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
                _print(console, section, results[section])
    broken = _broken(results)
    for sentence in broken:
        console.print(f"[red]{sentence}[/red]")
    console.print("A goal is not held." if broken else "The goals are held.")
    print(json.dumps(results))
    return 1 if broken else 0


def _python(*arguments: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=CHECKOUT,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return done.stdout


def _print(console: Console, section: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=section.replace("_", " "))
    columns = list(dict.fromkeys(column for row in rows for column in row))
    for column in columns:
        table.add_column(column.replace("_", " "), justify="left" if column == "case" else "right")
    for row in rows:
        table.add_row(*(_text(row.get(column, "")) for column in columns))
    console.print(table)


def _text(value: Any) -> str:
    return (
        f"{value:,.4g}"
        if isinstance(value, float) and value < 1000
        else f"{value:,.0f}"
        if isinstance(value, (int, float))
        else str(value)
    )


def _broken(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    sentences = []
    for goal in GOALS:
        if goal.section not in results:
            continue
        row = next((row for row in results[goal.section] if row["case"] == goal.case), None)
        if row is None or row[goal.figure] > goal.at_most:
            got = row[goal.figure] if row else "no row"
            sentences.append(f"{goal.section}, {goal.case}: {goal.figure} is {got}, the goal {goal.at_most}")
    return sentences


if __name__ == "__main__":
    raise SystemExit(main())
