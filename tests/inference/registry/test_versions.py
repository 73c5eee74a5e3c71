"""Registering model versions: idempotent, content-addressed, each tenant for itself, every state reachable by rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import transaction

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, InvalidInput, NotFound
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
    assert version.artifact.name == version.sha256
    assert version.artifact.parent.parent.name == str(org.id)
    assert version.artifact.stat().st_mode & 0o777 == 0o400
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
    store = artifacts.artifact_path(org.id, "0" * 64).parent.parent
    assert not list(store.glob(".incoming-*"))


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
    version.artifact.chmod(0o600)
    version.artifact.write_bytes(b"something else")
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
