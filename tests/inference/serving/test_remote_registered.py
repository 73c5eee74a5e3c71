"""A remote version from the operator's command to the snapshot that is served; and nobody else's way to one."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from governance.audit.models import AuditEntry
from governance.data.pools import set_pool
from governance.data.services import catalogue
from governance.errors import AccessDenied, InvalidInput
from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from inference.registry.cataloguing import version_ref
from inference.registry.models import ModelVersion
from inference.registry.services import register_remote_version
from inference.rollouts.services import create_endpoint
from inference.serving.sources import DatabaseSource
from openclaw_site.config import ServingConfig
from tests.factories.inference import INPUTS, OUTPUTS, make_version
from tests.inference.serving import fake_site_values as site
from tests.inference.serving.test_remote import METADATA, answer, rogue

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def allow(settings, tmp_path):
    def permitted(host, pool=""):
        file = tmp_path / "credentials"
        file.write_text(f"{host} {site.TOKEN}")
        listed = f"{host}={pool}" if pool else host
        config = ServingConfig(remote_hosts=(listed,), remote_credentials_file=file, remote_allow_http=True)
        settings.OPENCLAW_SERVING = asdict(config)

    return permitted


@pytest.fixture
def make_pool(platform, principal_for):
    def make(name, kind, **more):
        principal = principal_for(platform, Role.PLATFORM_ADMIN)
        with platform_scope(platform.id), transaction.atomic():
            set_pool(principal=principal, name=name, kind=kind, **more)

    return make


def command(org, host, **more):
    options = {"model": "far", "model_version": "1.0.0", "url": f"http://{host}", "remote_model": "m"} | more
    call_command("register_remote_model", tenant=org.slug, **options)


def test_the_operator_registers_what_a_server_describes(org, allow):
    with rogue(200, answer()) as host:
        with pytest.raises(CommandError, match="has not listed"):
            command(org, host)
        allow(host)
        command(org, host)
        command(org, host)
    with tenant_context(org.id), transaction.atomic():
        version = ModelVersion.objects.get()
        assert (version.format, version.state) == ("remote", "ready")
        assert version.inputs == METADATA["inputs"]
        assert version.outputs == METADATA["outputs"]


def test_a_server_that_is_away_registers_nothing(org, allow):
    allow("127.0.0.1:9")
    with pytest.raises(CommandError, match="does not answer"):
        command(org, "127.0.0.1:9")
    with pytest.raises(CommandError, match="plain names"):
        command(org, "127.0.0.1:9", remote_model="../x")


def test_data_that_may_not_go_there_is_not_sent(org, allow, member, make_pool):
    with rogue(200, answer()) as host:
        allow(host)
        with pytest.raises(CommandError, match="never reaches a public pool"):
            command(org, host, label=["confidential"])
        with tenant_context(org.id), transaction.atomic():
            assert not ModelVersion.objects.exists()
        allow(host, "gpu-room")
        with pytest.raises(CommandError, match="never reaches a public pool"):
            command(org, host, label=["confidential"])  # there is no such pool yet
        make_pool("gpu-room", "private")
        command(org, host, label=["confidential"])


def test_a_stricter_label_closes_the_endpoint(org, allow, member, principal_for, make_pool):
    caller = principal_for(org, Role.TENANT_ADMIN)
    with rogue(200, answer()) as host:
        allow(host)
        command(org, host)
        with tenant_context(org.id), transaction.atomic():
            version = ModelVersion.objects.get()
            create_endpoint(principal=caller, name="far", model_version_id=version.id)
        source = DatabaseSource()
        endpoint = source.endpoint(org.id, "far")
        assert source.authorize(caller, endpoint).allow
        with tenant_context(org.id), transaction.atomic():
            catalogue(version_ref(version), tenant_id=org.id, label="restricted")
        verdict = source.authorize(caller, endpoint)
        assert not verdict.allow
        assert f"version 1.0.0 is computed by {host}" in verdict.reason
        assert refusals(org) == ["data.work.place"]
        allow(host, "gpu-room")
        make_pool("gpu-room", "private")
        assert source.authorize(caller, endpoint).allow
        make_pool("gpu-room", "private", enabled=False)
        assert not source.authorize(caller, endpoint).allow


def refusals(org):
    with tenant_context(org.id), transaction.atomic():
        return list(AuditEntry.objects.filter(decision="deny").values_list("action", flat=True))


def test_no_upload_becomes_a_remote_version(org, principal_for):
    admin = principal_for(org, Role.TENANT_ADMIN)
    with pytest.raises(InvalidInput, match="cannot come as a file"):
        make_version(admin, format="remote", artifact=b'{"url": "https://h", "model": "m"}')


def test_a_data_scientist_may_not_send_data_elsewhere(org, principal_for):
    scientist = principal_for(org, Role.DATA_SCIENTIST)
    with tenant_context(org.id), pytest.raises(AccessDenied):
        register_remote_version(
            principal=scientist,
            model_name="far",
            version="1",
            descriptor={"url": "https://h", "model": "m"},
            inputs=INPUTS,
            outputs=OUTPUTS,
            card="",
            labels=["internal"],
        )
