"""An endpoint with three versions, and traffic as it would have been written."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from governance.ids import uuid7
from governance.principals import Role
from governance.tenants.context import tenant_context
from tests.factories.inference import INPUTS, adding_model, make_endpoint, make_version
from tests.inference.rollouts.trained import answers, normal


@pytest.fixture
def admin(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def versions(admin):
    """By number: 1.0.0, 2.0.0 and 3.0.0 of one model."""
    made = [make_version(admin)]
    made += [make_version(admin, version=f"{n:.0f}.0.0", artifact=adding_model(n)) for n in (2.0, 3.0)]
    return {version.version: version for version in made}


@pytest.fixture
def endpoint(admin, versions):
    return make_endpoint(admin, versions["1.0.0"])


@pytest.fixture
def inside(org) -> Callable[[], object]:
    """A transaction in the tenant's context."""

    @contextmanager
    def enter() -> Iterator[None]:
        with tenant_context(org.id), transaction.atomic():
            yield

    return enter


@pytest.fixture
def split(endpoint, inside):
    """The present split, by version."""

    from inference.rollouts.models import EndpointArm

    def read() -> dict[str, int]:
        with inside():
            rows = EndpointArm.objects.filter(endpoint=endpoint).select_related("model_version")
            return {arm.model_version.version: arm.weight for arm in rows}

    return read


@pytest.fixture
def traffic(endpoint, versions, inside, org):
    """`traffic("2.0.0", 500, errors=0.02)`: answers of one version, as the hot route writes them. Returns their ids."""
    from inference.rollouts.lifecycle import database_time
    from inference.rollouts.models import OutcomeRecord

    numbers = random.Random(11)

    def write(
        version: str,
        count: int,
        *,
        errors: float = 0.0,
        slow: float = 0.0,
        chosen: str = "split",
        at: datetime | None = None,
        propensity: float = 0.5,
        **values: object,
    ) -> list[Any]:
        with inside():
            moment = at or database_time()
            return OutcomeRecord.objects.bulk_create(
                OutcomeRecord(
                    id=uuid7(),
                    tenant=org,
                    endpoint=endpoint,
                    model_version=versions[version],
                    at=moment + timedelta(microseconds=number),
                    latency_us=90_000 if numbers.random() < slow else numbers.randint(800, 1_200),
                    status=500 if numbers.random() < errors else 200,
                    rows=1,
                    bytes_in=10,
                    principal_id="client",
                    chosen=chosen,
                    propensity=propensity,
                    **values,
                )
                for number in range(count)
            )

    return write


@pytest.fixture
def start(admin, endpoint, traffic):
    """Start a canary of 2.0.0; the stable version has answered before, so that its latency is known."""

    from inference.rollouts import rollout_services
    from inference.rollouts.lifecycle import database_time
    from tests.inference.rollouts.rollouts import PLAN

    def begin(kind="canary", version="2.0.0", plan=PLAN, **more):
        traffic("1.0.0", 200, at=database_time() - timedelta(minutes=5))
        with tenant_context(admin.tenant_id):
            return rollout_services.start_rollout(
                principal=admin, endpoint_id=endpoint.id, kind=kind, version=version, plan=plan, **more
            )

    return begin


@pytest.fixture
def reference(org, versions, inside):
    """`reference("1.0.0")`: the version was trained on normal rows, which it answered as `answers` do."""

    from inference.registry.models import TrainingReference
    from inference.rollouts.analysis.profiles import Gathering

    def make(version="1.0.0"):
        gathering = Gathering(INPUTS)
        gathering.add({"x": normal(2000, seed=1)}, answers(2000, seed=1))
        with inside():
            return TrainingReference.objects.create(
                tenant=org, model_version=versions[version], state="ready", job_id=uuid7(), sent_at=timezone.now(),
                revision=uuid7(), profile=gathering.profile().to_json(), row_count=2000, source_label="loans.csv",
            )  # fmt: skip

    return make


@pytest.fixture
def inputs(org, inside):
    """`inputs(reference, rows)`: rows that a serving process has counted."""

    from inference.rollouts.analysis.profiles import Profile
    from inference.rollouts.lifecycle import database_time
    from inference.rollouts.models import InputCount

    def write(reference, rows, *, at=None, revision=None):
        profile = Profile.from_json(reference.profile)
        minute = (at or database_time()).replace(second=0, microsecond=0)
        with inside():
            InputCount.objects.create(
                tenant=org, model_version_id=reference.model_version_id, revision=revision or reference.revision,
                at=minute, writer=uuid7(), rows=len(rows),
                counts={feature.name: feature.count(rows) for feature in profile.features},
            )  # fmt: skip

    return write


@pytest.fixture
def said(traffic):
    def write(version, found, **more):
        for name, confidence in found:
            traffic(version, 1, predicted=name, confidence=confidence, **more)

    return write
