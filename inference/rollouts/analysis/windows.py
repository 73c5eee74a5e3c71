"""What was observed of one arm, and which figure of it a guardrail looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inference.rollouts.analysis.sequential import Rate, Sums

ERROR_RATE = "error_rate"
# How the predictions are distributed, against the stable version's in the same time.
SHAPES = ("drift_prediction", "drift_confidence")
# How its inputs and predictions are distributed, against its own training reference.
REFERENCE = "drift_reference"


@dataclass(frozen=True, slots=True)
class ArmWindow:
    """One arm's totals since its step began. Both arms' windows must cover the same time.

    `slower` counts, by a threshold's name (“p50”, “p99”), the `timed` answers slower than that threshold: a quantile of
    the stable version's latency, fixed before the step began. `rates` and `sums` carry business and model metrics by
    name (tasks completed, labels matched; satisfaction, cost). `shapes` are counts by bin (of the predicted classes, of
    the confidence) by name; the bins were fixed before the step began.
    """

    requests: int = 0
    errors: int = 0
    timed: int = 0
    slower: Mapping[str, int] = field(default_factory=dict)
    rates: Mapping[str, Rate] = field(default_factory=dict)
    sums: Mapping[str, Sums] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Rate(self.requests, self.errors)
        for count in self.slower.values():
            Rate(self.timed, count)

    def metric(self, name: str) -> Rate | Sums:
        """The figure called `name`. One that was never observed is an empty rate."""
        if name == ERROR_RATE:
            return Rate(self.requests, self.errors)
        if name in self.slower:
            return Rate(self.timed, self.slower[name])
        if name in self.sums:
            return self.sums[name]
        return self.rates.get(name, Rate(0, 0))
