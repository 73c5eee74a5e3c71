"""On the real site: a version's inputs are counted as soon as it has a training reference, and never before."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.db import transaction

from governance.ids import uuid7
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context
from tests.factories.inference import training_profile
from tests.inference.serving.site_house import House

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.live]

LONGEST_S = 60.0


def counted(house: House) -> list[Any]:
    from inference.rollouts.models import InputCount

    with tenant_context(house.tenant.id), transaction.atomic():
        return list(InputCount.objects.all())


def test_inputs_are_counted_once_there_is_a_reference(
    infer: Callable[..., httpx.Response], house: House
) -> None:
    from inference.registry import references
    from inference.registry.models import ModelVersion

    for _ in range(3):
        assert infer().status_code == 200
    source, job_id = ObjectRef("tests.rows", "1", digest="0" * 64, label="rows.csv"), uuid7()
    with tenant_context(house.tenant.id):
        with transaction.atomic():
            version = ModelVersion.objects.get(version="1.0.0")
        references.begin_reference(
            principal=house.principal, version_id=version.id, job_id=job_id, source=source
        )
        made = references.finish_reference(
            version_id=version.id, job_id=job_id, profile=training_profile(), row_count=400, source=source
        )
    assert made is not None
    asked, deadline = 0, time.monotonic() + LONGEST_S
    while not (rows := counted(house)) and time.monotonic() < deadline:
        assert infer().status_code == 200
        asked += 1
        time.sleep(0.2)
    assert rows, "nothing was counted"
    assert {(row.model_version_id, row.revision) for row in rows} == {(version.id, made.revision)}
    assert 0 < sum(row.rows for row in rows) <= asked
    for row in rows:
        # The request says 1, 2 and 3; training saw values from -1 to 1, so all lie in the last bin.
        assert {name: counts[-2] for name, counts in row.counts.items()} == dict.fromkeys(
            ("x[0]", "x[1]", "x[2]"), row.rows
        )
