"""What a loaded version computed, in the terms of Triton's statistics extension.

Source: triton-inference-server/server, `docs/protocol/extension_statistics.md`. Durations are of requests: a run that
served three requests adds its time three times to `compute_infer`. Only the model's own thread counts runs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

# Sizes that are listed one by one: a client chooses its batch's size, and must not choose this process's memory.
MAX_BATCH_SIZES = 64


@dataclass(slots=True)
class Duration:
    """How often something was done, and how long it took altogether."""

    count: int = 0
    ns: int = 0

    def add(self, count: int, ns: int) -> None:
        self.count += count
        self.ns += ns

    def as_dict(self) -> dict[str, int]:
        return {"count": self.count, "ns": self.ns}


@dataclass(slots=True)
class RunTimes:
    """One run of a model: putting the inputs together, computing, and taking the outputs apart, in nanoseconds."""

    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0


@dataclass(slots=True)
class BatchStatistics:
    """All runs with one number of rows."""

    input: Duration = field(default_factory=Duration)
    infer: Duration = field(default_factory=Duration)
    output: Duration = field(default_factory=Duration)


@dataclass(slots=True)
class ModelStatistics:
    """Counters since the version was loaded. `rows` and `runs` are Triton's inference and execution counts."""

    rows: int = 0
    runs: int = 0
    last_inference_ms: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)
    batches: dict[int, BatchStatistics] = field(default_factory=dict)

    def ran(self, *, rows: int, requests: int, waited_ns: int, times: RunTimes) -> None:
        """Count one run that answered `requests`, whose waiting adds up to `waited_ns`."""
        self.rows += rows
        self.runs += 1
        self.last_inference_ms = time.time_ns() // 1_000_000
        took_ns = times.input_ns + times.infer_ns + times.output_ns
        self.success.add(requests, waited_ns + requests * took_ns)
        self.queue.add(requests, waited_ns)
        self.compute_input.add(requests, requests * times.input_ns)
        self.compute_infer.add(requests, requests * times.infer_ns)
        self.compute_output.add(requests, requests * times.output_ns)
        of_size = self.batches.get(rows)
        if of_size is None:
            if len(self.batches) >= MAX_BATCH_SIZES:
                return
            of_size = self.batches[rows] = BatchStatistics()
        of_size.input.add(1, times.input_ns)
        of_size.infer.add(1, times.infer_ns)
        of_size.output.add(1, times.output_ns)

    def failed(self, waited_ns: int) -> None:
        """Count one request that got no answer from the model, and the time until that was known."""
        self.fail.add(1, waited_ns)

    def as_dict(self) -> dict[str, Any]:
        """The extension's fields, without name and version."""
        # A copy at once: the model's thread may add a size while this is read.
        batches = sorted(self.batches.copy().items())
        return {
            "last_inference": self.last_inference_ms,
            "inference_count": self.rows,
            "execution_count": self.runs,
            "inference_stats": {
                name: getattr(self, name).as_dict()
                for name in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")
            },
            "batch_stats": [
                {
                    "batch_size": size,
                    "compute_input": of_size.input.as_dict(),
                    "compute_infer": of_size.infer.as_dict(),
                    "compute_output": of_size.output.as_dict(),
                }
                for size, of_size in batches
            ],
        }
