"""Files of batch jobs that no row answers for are removed a day later; those of a job are not."""

from __future__ import annotations

import pytest
from django.db import transaction

from governance.ids import uuid7
from governance.keys.sweeping import sweep_orphans
from governance.tenants.context import tenant_context
from inference.serving.batch import files
from inference.serving.models import BatchJob
from tests.factories.files import written_days_ago
from tests.factories.house import House

pytestmark = pytest.mark.django_db


def test_an_upload_whose_request_was_killed_goes_and_a_jobs_files_stay():
    house = House()
    house.furnish(1)
    tenant = house.tenants["organisation"]
    with tenant_context(tenant.id), transaction.atomic():
        job = BatchJob.objects.get()
        mine = [
            files.STORAGE.file(tenant.id, f"{job.id}/{name}")
            for name in ("input.jsonl", "shards/000000-x.jsonl")
        ]
        killed = files.new_input(tenant.id, uuid7(), "jsonl")
        running = files.new_input(tenant.id, uuid7(), "jsonl")
        for file in (*mine, killed, running):
            file.write([b'{"inputs": []}\n'], over=True)
    written_days_ago(*mine, killed)
    assert sweep_orphans() == 1
    assert not killed.exists()
    assert all(file.exists() for file in (*mine, running))
