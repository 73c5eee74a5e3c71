"""Artifacts that no version answers for are removed a day later; no other is."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.utils import timezone

from governance.data.models import Asset
from governance.keys.sweeping import sweep_orphans
from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.registry import artifacts
from inference.registry.artifacts import SealedArtifact
from inference.registry.models import ModelVersion
from tests.factories.files import written_days_ago
from tests.factories.inference import make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(principal_for, org):
    return principal_for(org, Role.TENANT_ADMIN)


def stored(org, folder, content):
    """An artifact whose registration was killed after its file was written."""
    source = folder / "model.onnx"
    source.write_bytes(content)
    with tenant_context(org.id):
        kept = artifacts.store_artifact(tenant_id=org.id, source=source)
    return SealedArtifact(org.id, kept.sha256)


def test_what_an_interrupted_registration_left_goes_and_what_is_registered_stays(admin, org, tmp_path):
    version = make_version(admin)
    orphan, running = stored(org, tmp_path, b"killed"), stored(org, tmp_path, b"runs")
    written_days_ago(version.artifact.file, orphan.file)
    assert sweep_orphans() == 1
    assert not orphan.file.exists()
    assert running.file.exists()
    assert version.artifact.file.exists()


def test_equal_bytes_of_another_tenant_answer_for_nothing(admin, org, other_org, tmp_path):
    version = make_version(admin)
    theirs = stored(other_org, tmp_path, version.artifact.read_bytes())
    assert theirs.sha256 == version.sha256
    written_days_ago(version.artifact.file, theirs.file)
    assert sweep_orphans() == 1
    assert version.artifact.file.exists()
    assert not theirs.file.exists()


def test_the_artifact_of_an_erased_version_whose_removal_failed_goes(admin, org):
    version = make_version(admin)
    written_days_ago(version.artifact.file)

    def erased(**changes):
        with tenant_context(org.id), transaction.atomic():
            ModelVersion.objects.filter(pk=version.pk).update(**changes)
            Asset.objects.filter(object_id=str(version.pk)).update(erased_at=timezone.now())

    # What a person says is done by hand may still be in service: then it is not removed under it.
    erased(state=ModelVersion.State.READY)
    assert sweep_orphans() == 0
    assert version.artifact.file.exists()
    erased(state=ModelVersion.State.RETIRED)
    assert sweep_orphans() == 1
    assert not version.artifact.file.exists()


def test_a_version_that_is_only_retired_keeps_its_artifact(admin, org):
    version = make_version(admin)
    written_days_ago(version.artifact.file)
    with tenant_context(org.id), transaction.atomic():
        ModelVersion.objects.filter(pk=version.pk).update(state=ModelVersion.State.RETIRED)
    assert sweep_orphans() == 0
    assert version.artifact.file.exists()
