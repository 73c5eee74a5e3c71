"""`python -m benchmarks.serving_open`: latency of `/v2` when requests come at a given rate, and when too many come.

Starts the whole site as `benchmarks.serving` does. First 500 requests/s of the small model; then the ResNet-20 at twice
what it can answer, with OPENCLAW_LATENCY_OBJECTIVE_MS as given: what is refused early, and how long the answered ones
took. The generator shares the machine's cores with what it measures, in one Python process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import graphs
from benchmarks.open_loop import Answers, offer
from benchmarks.serving_site import site


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=500, help="requests per second (default: 500)")
    parser.add_argument("--seconds", type=float, default=10, help="per cell (default: 10)")
    parser.add_argument("--objective-ms", type=int, default=60, help="of the overloaded site (default: 60)")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=110)
    with tempfile.TemporaryDirectory(prefix="openclaw-bench-") as name:
        folder = Path(name)
        console.print("Starting the site (in a folder of its own) …")
        objective = str(arguments.objective_ms)
        with site(folder, OPENCLAW_LATENCY_OBJECTIVE_MS=objective) as (url, _pid, token):
            result = asyncio.run(_measure(url, token, folder, arguments))
    _print(console, result, arguments)
    print(json.dumps(result))
    return 0


async def _measure(
    url: str, token: str, folder: Path, arguments: argparse.Namespace
) -> dict[str, dict[str, float]]:
    bodies = {model.name: json.dumps(model.request()).encode() for model in graphs.make(folder)}

    async def run(model: str, rate: float, seconds: float) -> Answers:
        target = f"{url}/v2/models/{model}/infer"
        return await offer(target, token=token, body=bodies[model], rate=rate, seconds=seconds)

    await run("tab", 100, 2)
    await run("resnet", 20, 2)
    steady = await run("tab", arguments.rate, arguments.seconds)
    saturation = await _saturation(url, token, bodies["resnet"])
    overload = await run("resnet", 2 * saturation, arguments.seconds)
    return {
        "tab": _figures(steady),
        "resnet at twice saturation": _figures(overload) | {"saturation": saturation},
    }


async def _saturation(url: str, token: str, body: bytes, seconds: float = 3) -> float:
    """The most that is answered per second: what comes of offering far more, refusals not counted."""
    target = f"{url}/v2/models/resnet/infer"
    answers = await offer(target, token=token, body=body, rate=1500, seconds=seconds)
    return round(answers.statuses[200] / answers.took_s, 1)


def _figures(answers: Answers) -> dict[str, float]:
    refused = answers.statuses[429] + answers.statuses[503]
    return {
        "offered_rps": round(answers.offered / answers.took_s, 1),
        "answered_rps": round(answers.statuses[200] / answers.took_s, 1),
        "refused_share": round(refused / answers.offered, 3),
        "failed": answers.offered - answers.statuses[200] - refused,
        "p50_ms": round(answers.quantile_ms(0.5), 2),
        "p99_ms": round(answers.quantile_ms(0.99), 2),
        "refused_p99_ms": round(answers.quantile_ms(0.99, 503), 2),
    }


def _print(console: Console, result: dict[str, dict[str, float]], arguments: argparse.Namespace) -> None:
    table = Table("cell", title="Open loop: latency from the time that a request was due")
    columns = list(next(iter(result.values())))
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for cell, figures in result.items():
        table.add_row(cell, *(f"{figures[column]:g}" for column in columns))
    console.print(table)
    console.print(
        f"Latency objective {arguments.objective_ms} ms; `failed`: neither an answer nor a refusal."
    )


if __name__ == "__main__":
    raise SystemExit(main())
