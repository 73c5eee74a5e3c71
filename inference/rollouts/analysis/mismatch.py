"""Sample-ratio mismatch: whether the arms of an experiment got the requests that their shares promise.

A mismatch means that something beside the draw decides who answers or whose answers are counted (rows of one arm are
lost, say). Then the arms' requests differ in kind, and nothing that an experiment measures can be relied on.

The sequential test of multinomial counts of Lindon and Malek (Anytime-Valid Inference for Multinomial Count Data,
NeurIPS 2022): the likelihood under a Dirichlet prior around the promised shares θ, over the likelihood under θ itself,

    B = Γ(c) / Γ(c + n) · Π Γ(cθᵢ + xᵢ) / Γ(cθᵢ) / Π θᵢ^xᵢ

The chance that B ever reaches 1/α under θ is at most α, over all looks together. A small `c` finds gross mismatches
after a few requests, a large one fine mismatches among many: the mean of both is such an evidence as well. Counts from
times with different shares multiply. Each count must be an independent draw: requests of sessions are not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

CONCENTRATIONS = (100.0, 10_000.0)
# A mismatch makes everything else worthless, and is looked for in every experiment: the customary level is a small one.
LEVEL = 0.001


@dataclass(frozen=True, slots=True)
class Drawn:
    """While the shares were `shares` (they sum to 1), so many requests were counted of each arm."""

    shares: Mapping[str, float]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What was drawn, what the shares promise of as many, and the always-valid p-value."""

    counts: Mapping[str, int]
    expected: Mapping[str, float]
    p_value: float
    alpha: float = LEVEL

    @property
    def found(self) -> bool:
        return self.p_value <= self.alpha

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "counts": dict(self.counts),
            "expected": {name: round(value, 1) for name, value in self.expected.items()},
            "p_value": self.p_value,
            "alpha": self.alpha,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """As it was stored."""
        return cls(**stored)


def mismatch(times: Sequence[Drawn], *, alpha: float = LEVEL) -> Mismatch:
    """Test what was drawn at each of these times. Raises ValueError for shares that are not all of the traffic."""
    counts: dict[str, int] = {}
    expected: dict[str, float] = {}
    totals = [0.0] * len(CONCENTRATIONS)
    for drawn in times:
        if any(share <= 0 for share in drawn.shares.values()) or abs(sum(drawn.shares.values()) - 1) > 1e-9:
            raise ValueError("shares are positive and sum to 1")
        seen = sum(drawn.counts.get(name, 0) for name in drawn.shares)
        for name, share in drawn.shares.items():
            counts[name] = counts.get(name, 0) + drawn.counts.get(name, 0)
            expected[name] = expected.get(name, 0.0) + share * seen
        for index, concentration in enumerate(CONCENTRATIONS):
            totals[index] += _log_evidence(drawn, seen, concentration)
    highest = max(totals)
    log_mean = highest + math.log(sum(math.exp(total - highest) for total in totals) / len(totals))
    return Mismatch(counts, expected, math.exp(-max(0.0, log_mean)), alpha)


def _log_evidence(drawn: Drawn, seen: int, concentration: float) -> float:
    """ln B."""
    total = math.lgamma(concentration) - math.lgamma(concentration + seen)
    for name, share in drawn.shares.items():
        count, prior = drawn.counts.get(name, 0), concentration * share
        total += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return total
