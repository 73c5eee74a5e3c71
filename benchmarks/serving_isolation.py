"""`python -m benchmarks.serving_isolation`: what a process of its own costs a model, at the median of one run.

The same three graphs in this process and in a child, in turns; one row and thirty-two. No server, no batching.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import graphs
from inference.serving.datatypes import Tensors
from inference.serving.isolated import IsolatedRuntime
from inference.serving.options import ChildLimits
from inference.serving.runtime import OnnxOptions, OnnxRuntime, Runtime
from inference.serving.signature import Signature


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=300)
    arguments = parser.parse_args()
    table = Table("model", "rows", title="One run at the median, in microseconds")
    for column in ("in this process", "in a child", "more", "child MB"):
        table.add_column(column, justify="right")
    result = []
    with tempfile.TemporaryDirectory(prefix="openclaw-bench-") as folder:
        for model in graphs.make(Path(folder)):
            signature = Signature.declared(model.inputs, model.outputs)
            digest, options = sha256(model.artifact.read_bytes()).hexdigest(), OnnxOptions()
            here = OnnxRuntime.load(model.artifact, sha256=digest, signature=signature)
            limits = ChildLimits()
            there = IsolatedRuntime.load(
                model.artifact, sha256=digest, signature=signature, options=options, limits=limits
            )
            for rows in (1, 32):
                inputs = {model.inputs[0]["name"]: np.repeat(model.row[None], rows, axis=0)}
                inside, child = _medians(here, there, inputs, arguments.runs)
                mb = there.memory_bytes / 2**20
                table.add_row(
                    model.name,
                    str(rows),
                    f"{inside:.0f}",
                    f"{child:.0f}",
                    f"{child - inside:.0f}",
                    f"{mb:.0f}",
                )
                result.append({"model": model.name, "rows": rows, "inside_us": inside, "child_us": child})
            there.close()
    Console(highlight=False, width=110).print(table)
    print(json.dumps({"rows": result}))
    return 0


def _medians(here: Runtime, there: Runtime, inputs: Tensors, runs: int) -> tuple[float, float]:
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for runtime, times in zip((here, there), taken, strict=True):
            began = time.perf_counter()
            runtime.predict(inputs)
            times.append(1e6 * (time.perf_counter() - began))
    return statistics.median(taken[0]), statistics.median(taken[1])


if __name__ == "__main__":
    raise SystemExit(main())
