"""How far a version's inputs and predictions have moved from its training reference.

Inputs are counted by the serving processes (a sample, of the split's traffic to the version, wherever it stands);
predictions come from the outcome records of one endpoint. Both are compared in the reference's bins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
from django.conf import settings
from django.db import connection

from inference.registry.models import ModelVersion
from inference.rollouts.analysis.drift import (
    Drift,
    KolmogorovSmirnov,
    Reference,
    kolmogorov_smirnov_binned,
    psi,
)
from inference.rollouts.analysis.profiles import Profile
from inference.rollouts.distributions import CLASSES, CONFIDENCE, counts_by_bin
from inference.rollouts.lifecycle import database_time
from inference.rollouts.models import Endpoint
from inference.rollouts.selectors import reference_of
from inference.rollouts.spans import Span

INPUT = "input"
# With fewer values the index says more about chance than about drift.
MIN_VALUES = 200
HOURS = 24

INPUTS = """
    SELECT f.key, b.place, sum(b.count::bigint)::bigint
    FROM rollouts_inputcount, jsonb_each(counts) AS f(key, bins),
         jsonb_array_elements_text(f.bins) WITH ORDINALITY AS b(count, place)
    WHERE model_version_id = %s AND revision = %s AND at >= %s AND at < %s
    GROUP BY 1, 2 ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One feature, the predicted classes or the confidence (`part` says which) against the reference.

    `count` is of values in the chosen time; `not_numbers` of those beside them that were no finite numbers. There is no
    figure while there are no values, and no distance for what has no order. `counts` are by bin.
    """

    part: str
    name: str
    count: int
    not_numbers: int
    drift: Drift | None
    distance: KolmogorovSmirnov | None
    reference: Reference
    counts: tuple[int, ...]

    @property
    def enough(self) -> bool:
        """Whether there are enough values to say anything."""
        return self.count >= MIN_VALUES

    @property
    def excess(self) -> float:
        """The index less what chance alone makes of it."""
        return self.drift.index - self.drift.noise if self.drift else 0.0


@dataclass(frozen=True, slots=True)
class VersionDrift:
    """Everything of one version; no parts where it has no reference."""

    version: ModelVersion
    parts: tuple[FeatureDrift, ...]

    @property
    def reference(self) -> Any:
        """The version's reference as it is kept, being made ones too; None without any."""
        return getattr(self.version, "reference", None)

    @property
    def worst(self) -> FeatureDrift | None:
        """What moved most, of those with enough values."""
        return max((part for part in self.parts if part.enough), key=lambda part: part.excess, default=None)


def endpoint_drift(endpoint: Endpoint, *, hours: float = HOURS) -> list[VersionDrift]:
    """The drift of each version behind an endpoint over the last hours. Three queries a version with a reference."""
    versions = ModelVersion.objects.select_related("reference").filter(
        pk__in=[arm.model_version_id for arm in endpoint.arms.all()]
    )
    now = database_time()
    span = Span(endpoint.id, now - timedelta(hours=hours), now + timedelta(minutes=1))
    return [version_drift(version, span) for version in versions.order_by("id")]


def longest_hours() -> int:
    """As far back as anything is kept."""
    return 24 * int(settings.OUTCOME_RETENTION_DAYS)


def version_drift(version: ModelVersion, span: Span) -> VersionDrift:
    """One version's drift. Its `reference` is read with it. Minutes of input counts belong to the span if they began
    in it."""
    known = reference_of(version)
    if known is None:
        return VersionDrift(version, ())
    inputs = input_counts(version.id, known.revision, span)
    parts = []
    for feature in known.profile.features:
        bins = len(feature.reference.counts)
        counts = inputs.get(feature.name, (0,) * (bins + 1))
        if len(counts) == bins + 1:
            parts.append(_against(INPUT, feature.name, feature.reference, counts[:-1], counts[-1]))
    parts += [
        _against(name, name, reference, counts, 0)
        for name, reference, counts in _predictions(version.id, known.profile, span)
    ]
    return VersionDrift(version, tuple(parts))


def input_counts(version_id: UUID, revision: UUID, span: Span) -> dict[str, tuple[int, ...]]:
    """The counts of a version's inputs by feature: one for each bin, last those that were no finite numbers."""
    found: dict[str, list[int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(INPUTS, [version_id, revision, span.since, span.until])
        for name, _place, count in cursor.fetchall():
            found.setdefault(name, []).append(count)
    return {name: tuple(counts) for name, counts in found.items()}


def _predictions(
    version_id: UUID, profile: Profile, span: Span
) -> Iterable[tuple[str, Reference, tuple[int, ...]]]:
    values = {
        "endpoint": span.endpoint_id,
        "since": span.since,
        "until": span.until,
        "versions": [version_id],
        "thinned": UUID(int=0),
        "keep": 10_000,
    }
    for name, reference in ((CLASSES, profile.predictions), (CONFIDENCE, profile.confidence)):
        if reference is not None:
            bins = list(reference.categories) if name == CLASSES else _buckets(reference.edges)
            yield name, reference, counts_by_bin(name, bins, values)[version_id]


def _buckets(edges: Iterable[float]) -> list[float]:
    """The edges as `width_bucket` takes them: there a value at an edge lies above it, in a reference below."""
    return [float(np.nextafter(edge, np.inf)) for edge in edges]


def _against(
    part: str, name: str, reference: Reference, counts: tuple[int, ...], not_numbers: int
) -> FeatureDrift:
    some = sum(counts) > 0
    return FeatureDrift(
        part=part,
        name=name,
        count=sum(counts),
        not_numbers=not_numbers,
        drift=psi(reference, counts) if some else None,
        distance=kolmogorov_smirnov_binned(reference, counts) if some and reference.edges else None,
        reference=reference,
        counts=counts,
    )
