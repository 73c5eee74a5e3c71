"""`python -m benchmarks.serving_swaps`: 1,000 versions swapped under load: failed requests, and growth of memory.

In this process, without a server: clients ask without a pause while the endpoint changes from one version to the other
and back. Each swap is over when the new version answers and the old one is unloaded. Memory is the median over the
second tenth of the swaps and over the last one (single readings scatter by a megabyte), after 25,000
requests, so that what is set up once does not count. Exits with 1 when a request failed or memory grew by a hundredth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import uvloop
from rich.console import Console

from benchmarks import graphs
from benchmarks.serving_inside import Bench, Endpoint, arm_of, bench

GOAL_GROWTH = 0.01
WARM_UP_REQUESTS = 25_000


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=8)
    arguments = parser.parse_args()
    result = uvloop.run(_measure(arguments))
    console = Console(highlight=False, width=110)
    console.print(
        f"{result['swaps']} swaps in {result['took_s']:.1f} s under {result['requests']} requests: "
        f"{result['failed']} failed; resident memory {result['rss_mb_before']:.1f} → {result['rss_mb_after']:.1f} MB "
        f"({100 * result['growth']:+.2f} %)."
    )
    print(json.dumps(result))
    return 1 if result["failed"] or result["growth"] >= GOAL_GROWTH else 0


async def _measure(arguments: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="openclaw-bench-") as folder:
        model = graphs.digits(Path(folder))
        arms = (arm_of(model, "1.0.0"), arm_of(model, "2.0.0"))
        async with bench(model, arms=arms[:1]) as made:
            first = made.source.current
            endpoints = [Endpoint(first.name, (arm,), id=first.id) for arm in arms]
            statuses: Counter[int] = Counter()
            stop = asyncio.Event()
            clients = [asyncio.ensure_future(_client(made, statuses, stop)) for _ in range(arguments.clients)]
            while statuses.total() < WARM_UP_REQUESTS:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            began = time.perf_counter()
            samples = []
            for number in range(1, arguments.swaps + 1):
                await _swap(made, endpoints[number % 2])
                samples.append(_rss_mb())
            took_s = time.perf_counter() - began
            tenth = max(arguments.swaps // 10, 1)
            before = statistics.median(samples[tenth : 2 * tenth] or samples)
            after = statistics.median(samples[-tenth:])
            stop.set()
            await asyncio.gather(*clients)
    return {
        "swaps": arguments.swaps,
        "took_s": round(took_s, 2),
        "requests": sum(statuses.values()),
        "failed": sum(statuses.values()) - statuses[200],
        "rss_mb_before": round(before, 2),
        "rss_mb_after": round(after, 2),
        "growth": round(after / before - 1, 5),
    }


async def _client(made: Bench, statuses: Counter[int], stop: asyncio.Event) -> None:
    while not stop.is_set():
        statuses[await made.ask()] += 1


async def _swap(made: Bench, endpoint: Endpoint) -> None:
    made.swap(endpoint)
    pool, wanted = made.application._pool, endpoint.arms[0].version_id
    while pool.loaded(wanted) is None or len(pool) > 1:  # noqa: ASYNC110 - the pool needs no event for it
        await asyncio.sleep(0.001)


def _rss_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


if __name__ == "__main__":
    raise SystemExit(main())
