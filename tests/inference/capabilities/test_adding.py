"""Base capabilities as versions in the registry: who brings them where, once, and what they take nothing back from."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.core.management import call_command
from django.db import transaction

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, InvalidInput
from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Tenant
from inference.capabilities.catalogue import capabilities
from inference.capabilities.selectors import present, tenants_without
from inference.capabilities.services import add_capabilities, add_where_missing
from inference.registry.models import ModelVersion
from inference.registry.services import hold_version, register_model_version
from inference.rollouts.models import Endpoint
from inference.rollouts.services import set_split
from tests.factories.inference import INPUTS, OUTPUTS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def add(principal):
    with tenant_context(principal.tenant_id):
        return add_capabilities(principal=principal)


def rows(org):
    with tenant_context(org.id), transaction.atomic():
        return list(ModelVersion.objects.order_by("id")), list(Endpoint.objects.order_by("id"))


def test_each_is_a_version_like_any_other(admin, org):
    made = add(admin)
    assert [version.source_id for version in made] == list(capabilities())
    for version, found in zip(made, capabilities().values(), strict=True):
        assert (version.state, version.version, version.sha256) == ("ready", found.version, found.sha256)
        assert (version.inputs, version.outputs) == (found.inputs, found.outputs)
        assert version.card == found.card
        assert version.metrics == found.figures
        assert version.artifact.read_bytes() == found.artifact.read_bytes()
    _versions, endpoints = rows(org)
    assert [endpoint.name for endpoint in endpoints] == [f"base-{name}" for name in capabilities()]
    with tenant_context(org.id), transaction.atomic():
        assert all(row.answers and row.endpoint and row.version for row in present(admin))


def test_adding_again_changes_nothing(admin, org):
    add(admin)
    before = rows(org)
    with platform_scope():
        entries = AuditEntry.objects.count()
    assert add(admin) == before[0]
    assert rows(org) == before
    with platform_scope():
        assert AuditEntry.objects.count() == entries


def test_what_somebody_held_stays_held_and_a_moved_split_stays(admin, org):
    first = add(admin)[0]
    with tenant_context(org.id):
        hold_version(principal=admin, version_id=first.id, reason="looking into it")
    assert add_where_missing() == 0
    assert add(admin)[0].state == ModelVersion.State.HELD
    with tenant_context(org.id), transaction.atomic():
        assert not next(row for row in present(admin) if row.capability.name == first.source_id).answers


def test_an_own_version_takes_the_traffic_and_keeps_it(admin, org):
    add(admin)
    found = capabilities()["sentiment"]
    with tenant_context(org.id):
        own = register_model_version(
            principal=admin, model_name=found.model_name, version="own", artifact=found.artifact, format="onnx",
            inputs=found.inputs, outputs=found.outputs, card="", source=replace_source(), labels=["internal"],
        )  # fmt: skip
        with transaction.atomic():
            endpoint = Endpoint.objects.get(name=found.model_name)
        set_split(principal=admin, endpoint_id=endpoint.id, weights={own.version: 100, "1.0.0": 0})
    add(admin)
    with tenant_context(org.id), transaction.atomic():
        arms = {
            arm.model_version.version: arm.weight for arm in endpoint.arms.select_related("model_version")
        }
    assert arms == {"own": 100, "1.0.0": 0}


def replace_source():
    from governance.refs import ObjectRef

    return ObjectRef(type="tests.source", id="1", digest="0" * 64, label="test")


def test_the_worker_finds_organisations_that_lack_one(org, other_org):
    with platform_scope(), transaction.atomic():
        organisations = set(Tenant.objects.filter(kind="organisation").values_list("id", flat=True))
    assert set(tenants_without(capabilities().values())) == organisations
    call_command("add_capabilities")
    assert tenants_without(capabilities().values()) == []
    assert add_where_missing() == 0
    assert len(rows(other_org)[0]) == len(rows(org)[0]) == len(capabilities())


def test_a_new_version_of_one_is_added_beside_the_old(org, monkeypatch):
    from inference.capabilities import services

    add_where_missing()
    entries = dict(capabilities())
    other = entries["language"]
    entries["intent"] = replace(entries["intent"], version="1.1.0", file=other.file, sha256=other.sha256,
                                inputs=other.inputs, outputs=other.outputs)  # fmt: skip
    monkeypatch.setattr(services, "capabilities", lambda: entries)
    assert add_where_missing() == 1
    with tenant_context(org.id), transaction.atomic():
        endpoint = Endpoint.objects.get(name="base-intent")
        split = {
            arm.model_version.version: arm.weight for arm in endpoint.arms.select_related("model_version")
        }
    assert split == {"1.0.0": 100}


def test_a_suspended_organisation_waits(org):
    with platform_scope(), transaction.atomic():
        Tenant.objects.filter(pk=org.id).update(suspended_at="2026-01-01T00:00:00Z")
    assert org.id not in tenants_without(capabilities().values())


def test_the_platform_and_a_developer_add_nothing(org, principal_for):
    developer = principal_for(org, Role.DEVELOPER)
    with pytest.raises(AccessDenied):
        add(developer)
    with pytest.raises(InvalidInput), platform_scope():
        add_capabilities(principal=SYSTEM)
    assert rows(org) == ([], [])


def test_only_the_platform_registers_patterns(admin, org):
    found = capabilities()["pii"]
    with pytest.raises(AccessDenied), tenant_context(org.id):
        register_model_version(
            principal=admin, model_name="mine", version="1", artifact=found.artifact, format="patterns",
            inputs=INPUTS, outputs=OUTPUTS, card="", source=replace_source(), labels=[],
        )  # fmt: skip
    assert rows(org) == ([], [])
