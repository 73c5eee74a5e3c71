"""Whether inputs or predictions still look like others: population stability index, Kolmogorov-Smirnov, an e-process.

The first two are fixed-horizon and neither says that a drift does harm; a threshold on the index is a rule of thumb
(0.1 look, 0.25 act), not a test. `shape_evidence` is a test that may be looked at always; it says that two arms differ,
however little. A guardrail asks for both: shown by the test, and larger than the tolerance by the index.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np

from inference.rollouts.analysis.evidence import Check, Method, Outcome

MODERATE, LARGE = 0.1, 0.25
SMOOTHING = 0.5


class Band(StrEnum):
    """The usual reading of the index: below 0.1 stable, below 0.25 moderate, else large."""

    STABLE = "stable"
    MODERATE = "moderate"
    LARGE = "large"


@dataclass(frozen=True, slots=True)
class Reference:
    """What training data looked like: counts by bin. Bins lie between `edges`, or are categories and any other last.

    Small enough to be stored with a model version: no value of the training data is in it.
    """

    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        bins = len(self.edges) + 1 if not self.categories else len(self.categories) + 1
        if len(self.counts) != bins or min(self.counts) < 0 or sum(self.counts) == 0:
            raise ValueError("a reference has one count a bin, and at least one value in all")
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("the edges of a reference ascend")

    @classmethod
    def of_numbers(cls, values: np.ndarray, *, bins: int = 10) -> Self:
        """Quantile bins: about as many values in each. Repeated values make fewer bins. NaN is refused."""
        values = _finite(values)
        if not len(values):
            raise ValueError("a reference needs values")
        inner = np.quantile(values, np.arange(1, bins) / bins, method="inverted_cdf")
        edges = np.unique(inner[inner < values.max()])
        counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
        return cls(tuple(map(int, counts)), edges=tuple(map(float, edges)))

    @classmethod
    def of_categories(cls, values: Sequence[str], *, most: int = 50) -> Self:
        """The `most` frequent categories, the rest together."""
        found = Counter(values)
        kept = sorted(found.most_common(most))
        rest = sum(found.values()) - sum(count for _, count in kept)
        return cls((*(count for _, count in kept), rest), categories=tuple(name for name, _ in kept))

    @property
    def total(self) -> int:
        """How many values it was counted from."""
        return sum(self.counts)

    def count(self, values: np.ndarray | Sequence[str]) -> tuple[int, ...]:
        """The values' counts in these bins; counts of several windows may be added."""
        if self.categories:
            found = Counter(map(str, values))
            named = [found.pop(category, 0) for category in self.categories]
            return (*named, sum(found.values()))
        place = np.searchsorted(np.array(self.edges), _finite(np.asarray(values)), side="left")
        return tuple(map(int, np.bincount(place, minlength=len(self.counts))))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"counts": list(self.counts), "edges": list(self.edges), "categories": list(self.categories)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The reference as it was stored."""
        return cls(tuple(stored["counts"]), tuple(stored["edges"]), tuple(stored["categories"]))


@dataclass(frozen=True, slots=True)
class Drift:
    """`index` is the PSI, `noise` what it is on average without any drift at these sample sizes; `parts` by bin."""

    index: float
    noise: float
    band: Band
    parts: tuple[float, ...]
    reference_count: int
    count: int


@dataclass(frozen=True, slots=True)
class KolmogorovSmirnov:
    """`distance` is the greatest between the two distribution functions."""

    distance: float
    p_value: float


def psi(reference: Reference, counts: Sequence[int]) -> Drift:
    """The population stability index Σ (q − p) ln(q / p) of `counts` (from `Reference.count`) against the reference.

    Half a value is added to every bin, so that an empty one does not make it infinite. Without drift the index is about
    (bins − 1)(1/n + 1/m) (Yurdakul and Naranjo 2020), given as `noise`: a small sample drifts by chance alone. Raises
    ValueError for counts of other bins, or none at all.
    """
    return drift_between(reference.counts, counts)


def drift_between(reference: Sequence[int], counts: Sequence[int]) -> Drift:
    """The same of two samples that were counted in the same bins."""
    if len(counts) != len(reference) or min(counts) < 0 or not sum(counts) or not sum(reference):
        raise ValueError("there must be one count for each bin of the reference, and at least one value")
    before, after = _smoothed(reference), _smoothed(counts)
    parts = (after - before) * np.log(after / before)
    index, n, m = float(parts.sum()), sum(reference), sum(counts)
    band = Band.STABLE if index < MODERATE else Band.MODERATE if index < LARGE else Band.LARGE
    noise = (len(counts) - 1) * (1 / n + 1 / m)
    return Drift(index, noise, band, tuple(map(float, parts)), n, m)


def shape_evidence(stable: Sequence[int], canary: Sequence[int]) -> float:
    """ln of an e-process against “both arms' values fall into the bins with the same probabilities”.

    Each arm's likelihood mixed with Jeffreys' Dirichlet(½, …, ½), over the greatest likelihood that one common
    distribution allows (universal inference: Wasserman, Ramdas and Balakrishnan 2020; for multinomial counts Lindon and
    Malek, NeurIPS 2022). The chance that it ever reaches ln(1/α) is at most α, over all looks, at every sample size and
    for any allocation. The bins must be fixed before the first value is counted. Below 0 there is no evidence.
    """
    if len(stable) != len(canary) or len(stable) < 2 or min(*stable, *canary) < 0:
        raise ValueError("two arms are compared in the same bins, of which there are at least two")
    pooled = [before + after for before, after in zip(stable, canary, strict=True)]
    total = sum(pooled)
    greatest = sum(count * math.log(count / total) for count in pooled if count)
    return _log_dirichlet(stable) + _log_dirichlet(canary) - greatest


def kolmogorov_smirnov(before: np.ndarray, after: np.ndarray) -> KolmogorovSmirnov | None:
    """FIXED-HORIZON two-sample test, two-sided, asymptotic with Stephens' correction. None for an empty sample.

    With ties (counts, whole numbers) it is conservative.
    """
    n, m = len(before), len(after)
    if not n or not m:
        return None
    x, y = np.sort(_finite(before)), np.sort(_finite(after))
    at = np.concatenate([x, y])
    gap = np.searchsorted(x, at, side="right") / n - np.searchsorted(y, at, side="right") / m
    distance = float(np.abs(gap).max())
    return KolmogorovSmirnov(distance, _kolmogorov_p(distance, n, m))


def kolmogorov_smirnov_binned(reference: Reference, counts: Sequence[int]) -> KolmogorovSmirnov:
    """The same from binned counts of a numeric reference: compared at the edges alone, so conservative."""
    if reference.categories or len(counts) != len(reference.counts) or sum(counts) == 0:
        raise ValueError("the Kolmogorov-Smirnov distance needs counts in the bins of a numeric reference")
    n, m = sum(reference.counts), sum(counts)
    gap = np.cumsum(reference.counts) / n - np.cumsum(counts) / m
    distance = float(np.abs(gap).max())
    return KolmogorovSmirnov(distance, _kolmogorov_p(distance, n, m))


def drift_check(
    name: str, drift: Drift, *, alpha: float, min_samples: int = 200, required: bool = True
) -> Check:
    """The drift as a check of a judgement: harm from 0.25 above noise, undecided from 0.1. A threshold, not a test."""
    excess = drift.index - drift.noise
    if drift.count < min_samples:
        outcome = Outcome.TOO_FEW
    elif excess >= LARGE:
        outcome = Outcome.HARM
    else:
        outcome = Outcome.UNDECIDED if excess >= MODERATE else Outcome.NO_HARM
    return Check(
        name=name,
        kind="drift",
        direction="increase",
        tolerance=LARGE,
        stable=drift.noise,
        canary=drift.index,
        stable_samples=drift.reference_count,
        canary_samples=drift.count,
        min_samples=min_samples,
        interval=None,
        p_value=None,
        alpha=alpha,
        method=Method.THRESHOLD,
        outcome=outcome,
        required=required,
    )


def _log_dirichlet(counts: Sequence[int]) -> float:
    """ln of the likelihood of the sequence, mixed over its probabilities with Dirichlet(½, …, ½)."""
    half = len(counts) / 2
    bins = sum(math.lgamma(count + 0.5) - math.lgamma(0.5) for count in counts)
    return math.lgamma(half) - math.lgamma(half + sum(counts)) + bins


def _smoothed(counts: Sequence[int]) -> np.ndarray:
    added = np.asarray(counts, dtype=float) + SMOOTHING
    return added / added.sum()


def _kolmogorov_p(distance: float, n: int, m: int) -> float:
    """Kolmogorov's limit 2 Σ (−1)^(k−1) exp(−2 k² λ²), λ corrected for small samples (Stephens, JRSS B 32, 1970)."""
    size = math.sqrt(n * m / (n + m))
    scaled = (size + 0.12 + 0.11 / size) * distance
    if scaled < 0.2:  # the limit is 1 to twelve digits here, and the series converges slowly
        return 1.0
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, sum(terms)))


def _finite(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if not np.isfinite(values).all():
        raise ValueError("drift is measured on finite numbers")
    return values
