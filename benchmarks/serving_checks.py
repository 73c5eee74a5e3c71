"""`python -m benchmarks.serving_checks`: what each check adds to one prediction, by switching it off.

One application per check, all in this process, asked one request after another in turns, no server and no network. The
figure is the median over the rounds of the difference to the application with every check on, in microseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import graphs
from benchmarks.serving_inside import Bench, bench
from governance.ethics.use import UNSAID, Use
from inference.serving.lookups import Caller, EndpointSnapshot, Verdict

GOAL_US = 300.0


async def without_token(made: Bench) -> None:
    caller = await made.cached.identify("token-of-the-benchmark")

    async def identify(token: str) -> Caller | None:
        return caller

    made.cached.identify = identify  # type: ignore[method-assign]


async def without_decision(made: Bench) -> None:
    verdict = Verdict(True, "")

    async def authorize(caller: Caller, endpoint: EndpointSnapshot, use: Use = UNSAID) -> Verdict:
        return verdict

    made.cached.authorize = authorize  # type: ignore[method-assign]


async def without_split(made: Bench) -> None:
    """The first version answers, whatever the weights."""
    route = made.application._router.route(made.source.current)
    chosen = await made.application._router.pick(route)

    async def pick(*_arguments: Any, **_options: Any) -> Any:
        return chosen

    made.application._router.pick = pick  # type: ignore[method-assign]


async def without_metrics(made: Bench) -> None:
    route = made.application._router.route(made.source.current)
    for routed in route.arms:
        routed.metrics = _Nothing()  # type: ignore[assignment]


async def without_all(made: Bench) -> None:
    for switch_off in (without_token, without_decision, without_split, without_metrics):
        await switch_off(made)


class _Nothing:
    def answered(self, status: int, latency_s: float) -> None:
        """Count nothing."""


SWITCHED_OFF: dict[str, Callable[[Bench], Any] | None] = {
    "nothing": None,
    "token": without_token,
    "decision": without_decision,
    "split": without_split,
    "metrics": without_metrics,
    "outcome": None,
    "all five": without_all,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--requests", type=int, default=200, help="per round and application (default: 200)")
    arguments = parser.parse_args()
    taken = uvloop.run(_measure(arguments))
    base = taken["nothing"]
    costs = {
        name: statistics.median(with_all - without for with_all, without in zip(base, times, strict=True))
        for name, times in taken.items()
        if name != "nothing"
    }
    console = Console(highlight=False, width=110)
    table = Table("switched off", title="One prediction of the small model, in microseconds at the median")
    table.add_column("takes", justify="right")
    table.add_column("it adds", justify="right")
    for name, times in taken.items():
        table.add_row(name, f"{statistics.median(times):.1f}", f"{costs.get(name, 0):.1f}")
    console.print(table)
    held = costs["all five"] < GOAL_US
    console.print(f"The checks together add {costs['all five']:.0f} µs; the goal is less than {GOAL_US:.0f}.")
    print(json.dumps({"takes_us": statistics.median(base), "adds_us": costs}))
    return 0 if held else 1


async def _measure(arguments: argparse.Namespace) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in SWITCHED_OFF}
    with tempfile.TemporaryDirectory(prefix="openclaw-bench-") as folder:
        model = graphs.tabular(Path(folder))
        async with AsyncExitStack() as stack:
            benches = {}
            for name, switch_off in SWITCHED_OFF.items():
                with_outcomes = name not in ("outcome", "all five")
                made = benches[name] = await stack.enter_async_context(bench(model, outcomes=with_outcomes))
                if switch_off is not None:
                    await switch_off(made)
            for _ in range(arguments.rounds):
                for name, made in benches.items():
                    times = []
                    for _ in range(arguments.requests):
                        began = time.perf_counter()
                        await made.ask()
                        times.append(1e6 * (time.perf_counter() - began))
                    taken[name].append(statistics.median(times))
                await asyncio.sleep(0)
    return taken


if __name__ == "__main__":
    raise SystemExit(main())
