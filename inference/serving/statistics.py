"""What a loaded version computed, in the terms of Triton's statistics extension.

Source: triton-inference-server/server, `docs/protocol/extension_statistics.md`. Durations are of requests: a run that
served three requests adds its time three times to `compute_infer`. Whoever counts makes sure that nobody else does at
once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

# Sizes that are listed one by one: a client chooses its batch's size, and must not choose this process's memory.
MAX_BATCH_SIZES = 64


@dataclass(slots=True)
class BatchStatistics:
    """All runs with one number of rows: how many, and the nanoseconds of their three parts."""

    runs: int = 0
    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0


@dataclass(slots=True)
class ModelStatistics:
    """Counters since the version was loaded. `rows` and `runs` are Triton's inference and execution counts.

    The durations of the parts are of `requests`, which all got an answer; what got none is in `failed`.
    """

    rows: int = 0
    runs: int = 0
    requests: int = 0
    waited_ns: int = 0
    input_ns: int = 0
    infer_ns: int = 0
    output_ns: int = 0
    failures: int = 0
    failures_ns: int = 0
    last_inference_ms: int = 0
    batches: dict[int, BatchStatistics] = field(default_factory=dict)

    def ran(
        self,
        *,
        rows: int,
        requests: int,
        waited_ns: int,
        infer_ns: int,
        input_ns: int = 0,
        output_ns: int = 0,
    ) -> None:
        """Count one run that answered `requests`, whose waiting adds up to `waited_ns`.

        A run puts the inputs together, computes, and takes the outputs apart: `input_ns`, `infer_ns`, `output_ns`.
        """
        self.rows += rows
        self.runs += 1
        self.requests += requests
        self.waited_ns += waited_ns
        self.infer_ns += requests * infer_ns
        self.last_inference_ms = time.time_ns() // 1_000_000
        if input_ns or output_ns:
            self.input_ns += requests * input_ns
            self.output_ns += requests * output_ns
        of_size = self.batches.get(rows)
        if of_size is None:
            if len(self.batches) >= MAX_BATCH_SIZES:
                return
            of_size = self.batches[rows] = BatchStatistics()
        of_size.runs += 1
        of_size.input_ns += input_ns
        of_size.infer_ns += infer_ns
        of_size.output_ns += output_ns

    def failed(self, waited_ns: int) -> None:
        """Count one request that got no answer from the model, and the time until that was known."""
        self.failures += 1
        self.failures_ns += waited_ns

    def as_dict(self) -> dict[str, Any]:
        """The extension's fields, without name and version."""
        # A copy at once: a model's thread may add a size while this is read.
        batches = sorted(self.batches.copy().items())
        answered = self.requests
        total_ns = self.waited_ns + self.input_ns + self.infer_ns + self.output_ns
        return {
            "last_inference": self.last_inference_ms,
            "inference_count": self.rows,
            "execution_count": self.runs,
            "inference_stats": {
                "success": _duration(answered, total_ns),
                "fail": _duration(self.failures, self.failures_ns),
                "queue": _duration(answered, self.waited_ns),
                "compute_input": _duration(answered, self.input_ns),
                "compute_infer": _duration(answered, self.infer_ns),
                "compute_output": _duration(answered, self.output_ns),
            },
            "batch_stats": [
                {
                    "batch_size": size,
                    "compute_input": _duration(of_size.runs, of_size.input_ns),
                    "compute_infer": _duration(of_size.runs, of_size.infer_ns),
                    "compute_output": _duration(of_size.runs, of_size.output_ns),
                }
                for size, of_size in batches
            ],
        }


def _duration(count: int, ns: int) -> dict[str, int]:
    return {"count": count, "ns": ns}
