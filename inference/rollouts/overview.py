"""Endpoints as pages show them: the split with each version's figures beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from inference.rollouts.charts import Part, bar
from inference.rollouts.figures import VersionFigures, version_figures
from inference.rollouts.models import Endpoint

WINDOW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class ArmRow:
    """A version behind an endpoint: its share and, if it was asked lately, its figures."""

    version: str
    weight: int
    colour: int
    figures: VersionFigures | None


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """An endpoint with its split."""

    endpoint: Endpoint
    arms: list[ArmRow]
    split: list[Part]
    without_version: VersionFigures | None


def endpoint_rows(endpoints: list[Endpoint], *, window: timedelta = WINDOW) -> list[EndpointRow]:
    """Endpoints with their splits and each version's figures. One query beside those for the endpoints."""
    figures = version_figures([endpoint.id for endpoint in endpoints], window=window)
    by_arm = {(f.endpoint_id, f.version_id): f for f in figures}
    return [
        EndpointRow(
            endpoint=endpoint,
            arms=[
                ArmRow(
                    version=arm.model_version.version,
                    weight=arm.weight,
                    colour=index % 4,
                    figures=by_arm.get((endpoint.id, arm.model_version_id)),
                )
                for index, arm in enumerate(endpoint.arms.all())
            ],
            split=bar([(arm.model_version.version, arm.weight) for arm in endpoint.arms.all()]),
            without_version=by_arm.get((endpoint.id, None)),
        )
        for endpoint in endpoints
    ]
