"""`make bench-serving-peers`: our server with every check on beside MLServer, KServe's Python server and BentoML.

The same graphs (the MLP and the ResNet-20), the same body but for BentoML (it has no Open Inference Protocol), the same
wrk, one process each, ONNX Runtime with one thread a session. In each round every server is started anew, warmed up and
measured in its turn, alone; the figures are medians over the rounds. The peers check nothing: no token, no permission.
Their virtual environments are made from `benchmarks/peers/*.txt` at the first run (var/bench-peers, about 1.5 GB).
Exits with 1 when a goal is not held: at least three times the requests/s of the best peer, at a lower p99.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import graphs, wrk
from benchmarks.serving_site import bare, free_port, program, site
from openclaw_site.config import CHECKOUT

PEERS = ("mlserver", "kserve", "bentoml")
MODELS = ("tab", "resnet")
READY = {"mlserver": "/v2/health/ready", "kserve": "/v2/health/ready", "bentoml": "/readyz"}
PROGRAMS = CHECKOUT / "benchmarks" / "peers"
ENVIRONMENTS = CHECKOUT / "var" / "bench-peers"
TIMES_BEST_PEER = 3.0
WARM_UP_S = 1.0

Samples = dict[tuple[str, str, int], list[wrk.Sample]]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3, help="per cell and round (default: 3)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each server (default: 3)")
    parser.add_argument("--connections", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    arguments = parser.parse_args()
    console = Console(highlight=False, width=110)
    try:
        generator = wrk.find()
    except wrk.WrkMissing as missing:
        console.print(str(missing))
        return 1
    pythons = {peer: _environment(console, peer) for peer in arguments.peers}
    samples: Samples = {}
    for number in range(arguments.rounds):
        console.print(f"Round {number + 1} of {arguments.rounds} …")
        for server in ("ceiling", "openclaw", *pythons):
            with tempfile.TemporaryDirectory(prefix="openclaw-bench-") as name:
                _measure(generator, Path(name), server, pythons.get(server), arguments, samples)
    rows = _rows(samples)
    _print(console, rows)
    missed = _missed(rows)
    for sentence in missed:
        console.print(f"[red]{sentence}[/red]")
    console.print("Not every goal is held." if missed else "The goals are held.")
    print(json.dumps({"rows": rows}))
    return 1 if missed else 0


def _environment(console: Console, peer: str) -> Path:
    """The Python of a peer's virtual environment, which is made anew whenever its requirements change."""
    requirements = PROGRAMS / f"{peer}.txt"
    digest = sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = ENVIRONMENTS / f"{peer}-{digest}"
    done = folder / "installed"
    if not done.exists():
        console.print(f"Installing {peer} …")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r", str(requirements)]
        subprocess.run([*pip, "--disable-pip-version-check"], check=True)
        done.touch()
    return folder / "bin" / "python"


def _measure(
    generator: str,
    folder: Path,
    server: str,
    python: Path | None,
    arguments: argparse.Namespace,
    samples: Samples,
) -> None:
    """Every cell of one server once."""
    models = [model for model in graphs.make(folder) if model.name in MODELS]
    with _started(folder, server, python) as (url, token):
        for model in models:
            request = model.request()
            body = {"x": [request["inputs"][0]["data"]]} if server == "bentoml" else request
            script = wrk.write_script(folder / f"{model.name}.lua", token=token, body=json.dumps(body))
            target = f"{url}/v2/models/{model.name}/infer"
            wrk.measure(generator, target, script, connections=16, seconds=WARM_UP_S)
            for connections in arguments.connections:
                sample = wrk.measure(
                    generator, target, script, connections=connections, seconds=arguments.seconds
                )
                samples.setdefault((server, model.name, connections), []).append(sample)


@contextmanager
def _started(folder: Path, server: str, python: Path | None) -> Iterator[tuple[str, str]]:
    """The address of a server, and the token that it wants."""
    with ExitStack() as stack:
        if server == "openclaw":
            url, _pid, token = stack.enter_context(site(folder))
            yield url, token
        elif python is None:
            yield stack.enter_context(bare(folder, "benchmarks.ceiling:application")), ""
        else:
            port = free_port()
            command = [str(python), str(PROGRAMS / f"serve_{server}.py"), str(port), str(folder / server)]
            url = f"http://127.0.0.1:{port}"
            stack.enter_context(program(folder, server, command, f"{url}{READY[server]}"))
            yield url, ""


def _rows(samples: Samples) -> list[dict[str, Any]]:
    return [
        {
            "server": server,
            "model": model,
            "connections": connections,
            "rps": round(statistics.median(sample.rps for sample in taken), 1),
            "p50_ms": round(statistics.median(sample.p50_ms for sample in taken), 2),
            "p99_ms": round(statistics.median(sample.p99_ms for sample in taken), 2),
            "errors": sum(sample.errors for sample in taken),
        }
        for (server, model, connections), taken in samples.items()
    ]


def _print(console: Console, rows: list[dict[str, Any]]) -> None:
    table = Table("model", "connections", "server", title="One row a request; ours with every check on")
    for column in ("requests/s", "p50 ms", "p99 ms", "errors", "ours is"):
        table.add_column(column, justify="right")
    ours = {(row["model"], row["connections"]): row["rps"] for row in rows if row["server"] == "openclaw"}
    for row in sorted(rows, key=lambda row: (row["model"], row["connections"], -row["rps"])):
        times = ours[row["model"], row["connections"]] / row["rps"]
        table.add_row(
            row["model"],
            str(row["connections"]),
            row["server"],
            f"{row['rps']:.0f}",
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            str(row["errors"]),
            f"{times:.2f}x",
        )
    console.print(table)


def _missed(rows: list[dict[str, Any]]) -> list[str]:
    """The goals that are not held, in sentences."""
    found = []
    for ours in rows:
        if ours["server"] != "openclaw":
            continue
        peers = [
            row
            for row in rows
            if row["server"] in PEERS and all(row[key] == ours[key] for key in ("model", "connections"))
        ]
        where = f"{ours['model']} at {ours['connections']} connections"
        if ours["errors"]:
            found.append(f"{where}: {ours['errors']} errors; there must be none")
        best = max(peers, key=lambda row: row["rps"])
        times = ours["rps"] / best["rps"]
        if times < TIMES_BEST_PEER:
            found.append(f"{where}: {times:.2f}x of {best['server']}; the goal is {TIMES_BEST_PEER:g}x")
        if ours["p99_ms"] >= best["p99_ms"]:
            found.append(f"{where}: p99 {ours['p99_ms']:g} ms; {best['server']} needs {best['p99_ms']:g} ms")
    return found


if __name__ == "__main__":
    raise SystemExit(main())
