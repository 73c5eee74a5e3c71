"""Timing calls and printing rows, the same way in every section."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any


def row(case: str, **figures: Any) -> None:
    """One line of the section's table."""
    print(json.dumps({"case": case, **figures}), flush=True)


def timed(call: Callable[[], object], *, times: int, warm_up: int = 20) -> list[float]:
    """How long each of `times` calls took, in milliseconds, sorted."""
    for _ in range(warm_up):
        call()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1e3)
    return sorted(taken)


def figures(taken: list[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds, and how many of them one process does in a second."""
    return {
        "p50_ms": round(statistics.median(taken), 4),
        "p99_ms": round(taken[int(len(taken) * 0.99)], 4),
        "per_s": round(len(taken) / (sum(taken) / 1e3)),
    }
