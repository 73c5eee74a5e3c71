"""Registering model versions: idempotent, content-addressed, each tenant for itself, every state reachable by rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.db import transaction

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, InvalidInput, NotFound
from governance.keys import keyring
from governance.keys import services as keys
from governance.keys.errors import KeysUnavailable
from governance.keys.memory import memory
from governance.keys.models import DataKey, KeyState
from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.registry import artifacts, services
from inference.registry.models import Model, ModelVersion
from inference.registry.selectors import latest_ready, visible_versions
from inference.registry.states import VERSION_STATES
from tests.factories.inference import INPUTS, adding_model, make_version
from tests.states import assert_complete, assert_step, every_step

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = {
    ("registered", "ready"),
    ("registered", "retired"),
    ("ready", "held"),
    ("held", "ready"),
    ("ready", "retired"),
    ("held", "retired"),
}


@pytest.fixture
def admin(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.mark.parametrize(("source", "target"), every_step(VERSION_STATES))
def test_state_table(source, target):
    assert_step(VERSION_STATES, source, target, STEPS)


def test_state_table_is_complete():
    assert_complete(VERSION_STATES, ModelVersion.State.values)
    assert VERSION_STATES.terminal == {"retired"}


def test_a_version_is_kept_under_its_digest(admin, org):
    version = make_version(admin)
    assert version.state == "ready"
    assert version.artifact.read_bytes() == adding_model()
    assert version.artifact.file.name == f"{org.id}/artifacts/{version.sha256[:2]}/{version.sha256}"
    lies = Path(storages["objects"].path(version.artifact.file.name))
    assert adding_model()[:64] not in lies.read_bytes()
    assert lies.stat().st_mode & 0o777 == 0o600
    with tenant_context(org.id), transaction.atomic():
        steps = list(AuditEntry.objects.order_by("sequence").values_list("action", flat=True))
    steps = [step for step in steps if step.startswith("registry.")]
    assert steps[-2:] == ["registry.version.register", "registry.version.ready"]


def test_registering_again_changes_nothing(admin, org):
    first = make_version(admin)
    assert make_version(admin) == first
    with tenant_context(org.id), transaction.atomic():
        assert ModelVersion.objects.count() == 1
        assert AuditEntry.objects.filter(action="registry.version.register").count() == 1


@pytest.mark.parametrize(
    "other",
    [
        {"artifact": adding_model(2.0)},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]},
    ],
    ids=["bytes", "signature"],
)
def test_a_version_never_changes(admin, other):
    make_version(admin)
    with pytest.raises(Conflict, match="already exists"):
        make_version(admin, **other)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "../etc"},
        {"model": "A"},
        {"version": "1/2"},
        {"version": ""},
        {"format": "pickle"},
        {"artifact": b""},
        {"expected_sha256": "0" * 64},
        {"inputs": []},
        {"inputs": INPUTS * 2},
        {"inputs": [{"name": "x", "datatype": "FP31", "shape": [1]}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [0]}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": "3"}]},
    ],
    ids=str,
)
def test_what_is_not_acceptable_leaves_nothing(admin, org, wrong):
    with pytest.raises(InvalidInput):
        make_version(admin, **wrong)
    with tenant_context(org.id), transaction.atomic():
        assert not Model.objects.exists()
    folder = Path(storages["objects"].path(f"{org.id}/artifacts"))
    assert not [path for path in folder.rglob(".draft-*") if path.is_file()]


def test_a_file_that_changes_while_it_is_taken_in_is_not_kept(admin, org, tmp_path, monkeypatch):
    source = tmp_path / "model.onnx"
    source.write_bytes(b"first")
    real = artifacts.digest_of

    def digest_of(chunks):
        found = real(chunks)
        source.write_bytes(b"other")
        return found

    monkeypatch.setattr(artifacts, "digest_of", digest_of)
    with tenant_context(org.id), pytest.raises(InvalidInput, match="digest"):
        artifacts.store_artifact(tenant_id=org.id, source=source)
    assert storages["objects"].names(f"{org.id}/artifacts", after="", limit=10) == []


def test_an_artifact_says_why_it_cannot_be_read_and_can_be_again(admin, org, monkeypatch):
    version = make_version(admin)
    memory.forget()
    with monkeypatch.context() as away:
        away.setattr(keyring, "unwrap", lambda row: (_ for _ in ()).throw(KeysUnavailable("away")))
        with pytest.raises(artifacts.ArtifactAway, match="out of reach"):
            version.artifact.read_bytes()
        with tenant_context(org.id), pytest.raises(KeysUnavailable):
            artifacts.is_intact(org.id, version.sha256)
    assert version.artifact.read_bytes() == adding_model()
    with tenant_context(org.id), transaction.atomic():
        DataKey.objects.update(state=KeyState.DESTROYED, wrapped=b"")
    memory.forget()
    with pytest.raises(OSError, match="destroyed on purpose") as refused:
        version.artifact.read_bytes()
    assert not isinstance(refused.value, artifacts.ArtifactAway)
    with tenant_context(org.id):
        assert not artifacts.is_intact(org.id, version.sha256)


def test_an_artifact_of_an_earlier_release_is_read_if_it_is_right_and_is_sealed_by_re_encryption(admin, org):
    version = make_version(admin)
    version.artifact.file.delete()
    with pytest.raises(FileNotFoundError):
        version.artifact.read_bytes()
    plain = artifacts.earlier_folder(org.id) / version.sha256[:2] / version.sha256
    plain.parent.mkdir(parents=True, exist_ok=True)
    plain.write_bytes(b"somebody else's")
    with pytest.raises(OSError, match="changed on disk"):
        version.artifact.read_bytes()

    def re_encrypted():
        with tenant_context(org.id):
            job = keys.re_encrypt(principal=admin, tenant_id=org.id, purpose=artifacts.PURPOSE)
            keys.step(job.id, org.id, limit_s=3600)
            with transaction.atomic():
                job.refresh_from_db()
        return [problem["code"] for problem in job.problems], job.rewritten

    assert re_encrypted() == (["conflict"], 0)
    assert plain.exists()
    plain.write_bytes(adding_model())
    assert version.artifact.read_bytes() == adding_model()
    assert re_encrypted() == ([], 1)
    assert not plain.exists()
    assert version.artifact.file.exists()
    assert version.artifact.read_bytes() == adding_model()


def test_a_link_is_no_artifact(admin, org, tmp_path):
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(NotFound):
        artifacts.store_artifact(tenant_id=org.id, source=tmp_path / "link")


def test_only_keepers_register(org, principal_for):
    for role in (Role.DEVELOPER,):
        with pytest.raises(AccessDenied):
            make_version(principal_for(org, role))
    limited = replace(principal_for(org, Role.TENANT_ADMIN), scopes=frozenset({"models:read"}))
    with pytest.raises(AccessDenied):
        make_version(limited)


def test_another_tenant_sees_and_changes_nothing(admin, org, other_org, principal_for):
    version = make_version(admin)
    stranger = principal_for(other_org, Role.TENANT_ADMIN)
    with tenant_context(other_org.id), transaction.atomic():
        assert not ModelVersion.objects.exists()
        assert not Model.objects.exists()
        assert not visible_versions(stranger).exists()
    with tenant_context(other_org.id), pytest.raises(NotFound):
        services.retire_version(principal=stranger, version_id=version.id, reason="")
    assert make_version(stranger).artifact != version.artifact


def test_weights_wait_until_they_can_be_served(admin, org):
    version = make_version(admin, format="safetensors")
    assert version.state == "registered"
    with tenant_context(org.id), pytest.raises(Conflict, match="No serving runtime"):
        services.make_ready(principal=admin, version_id=version.id)


def test_a_changed_artifact_is_not_made_ready(admin, org):
    version = make_version(admin)
    with tenant_context(org.id), transaction.atomic():
        ModelVersion.objects.update(state="registered")
    with tenant_context(org.id):
        version.artifact.file.write([b"something else"], over=True)
    for damage in (
        lambda: None,
        lambda: storages["objects"].put(version.artifact.file.name, [b"not sealed"]),
    ):
        damage()
        with tenant_context(org.id), pytest.raises(Conflict, match="missing or changed"):
            services.make_ready(principal=admin, version_id=version.id)
    assert make_version(admin).artifact.read_bytes() == adding_model()
    with tenant_context(org.id):
        assert services.make_ready(principal=admin, version_id=version.id).state == "ready"


def test_evaluation_and_retirement(admin, org):
    version = make_version(admin, metrics={"accuracy": 0.9})
    with tenant_context(org.id):
        kept = services.record_evaluation(principal=admin, version_id=version.id, metrics={"recall": 0.8})
        assert kept.metrics == {"accuracy": 0.9, "recall": 0.8}
        with pytest.raises(InvalidInput):
            services.record_evaluation(principal=admin, version_id=version.id, metrics={"note": "good"})
        assert (
            services.retire_version(principal=admin, version_id=version.id, reason="old").state == "retired"
        )
        with pytest.raises(Conflict):
            services.retire_version(principal=admin, version_id=version.id, reason="again")
        with transaction.atomic():
            assert latest_ready(tenant_id=org.id, model_name="adder") is None
