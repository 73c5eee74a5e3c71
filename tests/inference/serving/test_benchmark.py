"""The benchmarks' application without a server: it must keep step with what the hot route asks of an endpoint."""

from __future__ import annotations

from pathlib import Path

from benchmarks import graphs
from benchmarks.serving_inside import arm_of, bench


async def test_what_is_measured_answers(tmp_path: Path) -> None:
    model = graphs.tabular(tmp_path)
    async with bench(model, arms=(arm_of(model, "1.0.0"),)) as measured:
        assert await measured.ask() == 200
