"""The tenant's pages: catalogue, installing with exactly the rights asked for, batch jobs and skills."""

from __future__ import annotations

import io

import pytest
from django.db import transaction

from governance.principals import Role
from governance.tenants.context import platform_scope
from tests.factories.inference import make_endpoint, make_version

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture
def admin(org, sign_in):
    return sign_in(org, Role.TENANT_ADMIN)


@pytest.fixture
def published(partner_org, member):
    """A published version that asks for one right."""
    from django.utils import timezone

    from governance.ids import uuid7
    from marketplace.catalog.models import Partner, Plugin, PluginVersion

    with platform_scope(), transaction.atomic():
        partner = Partner.objects.create(tenant=partner_org, slug="acme", display_name="Acme", listed=True)
        plugin = Plugin.objects.create(tenant=partner_org, partner=partner, slug="digits-reader", listed=True)
        return PluginVersion.objects.create(
            tenant=partner_org,
            plugin=plugin,
            version="1.0.0",
            state="published",
            sha256="a" * 64,
            size_bytes=1000,
            manifest={"description": "Reads digits", "extensions": {"dev.openclaw": {"purpose": "reading"}}},
            permissions=["network:api.example.com"],
            risk_level="low",
            purpose="reading",
            submission_id=uuid7(),
            archive_path="quarantine/none.zip",
            published_at=timezone.now(),
        )


def test_the_catalogue_can_be_searched(admin, published):
    assert "digits-reader" in admin.client.get("/console/catalogue/", {"q": "digits"}).content.decode()
    assert "Nothing matches" in admin.client.get("/console/catalogue/", {"q": "weather"}).content.decode()
    page = admin.client.get("/console/catalogue/digits-reader/").content.decode()
    assert "network:api.example.com" in page
    assert admin.client.get("/console/catalogue/no-such/").status_code == 404


def test_installing_needs_every_right_to_be_ticked(admin, published, org):
    from marketplace.installs.models import Installation

    address = f"/console/catalogue/install/{published.pk}/"
    assert 'value="network:api.example.com"' in admin.client.get(address).content.decode()
    refused = admin.client.post(address)
    assert refused.status_code == 400
    assert b"not granted" in refused.content
    done = admin.client.post(address, {"grants": ["network:api.example.com"]})
    assert done.status_code == 302
    with platform_scope(), transaction.atomic():
        installation = Installation.objects.get(tenant=org)
    page = admin.client.get(done.headers["Location"]).content.decode()
    assert "being installed" in page
    assert str(installation.pk) in admin.client.get("/console/installations/").content.decode()
    assert "hx-get" in admin.client.get(done.headers["Location"] + "live/").content.decode()


def test_developers_look_but_do_not_install(org, published, sign_in):
    client = sign_in(org, Role.DEVELOPER).client
    assert b"/install/" not in client.get("/console/catalogue/digits-reader/").content
    assert client.get(f"/console/catalogue/install/{published.pk}/").status_code == 403


def test_a_batch_job_from_the_form(admin, org, other_org, sign_in):
    make_endpoint(admin.principal, make_version(admin.principal))
    file = io.BytesIO(b'{"x": [1, 2, 3]}\n' * 10)
    file.name = "rows.jsonl"
    made = admin.client.post("/console/batch/", {"endpoint": "adder", "file": file})
    assert made.status_code == 302, made.content.decode()[-2000:]
    address = made.headers["Location"]
    page = admin.client.get(address).content.decode()
    assert "/ws/batch-jobs/" in page
    assert "<progress" in admin.client.get(address + "live/").content.decode()
    assert "rows.jsonl" in admin.client.get("/console/batch/").content.decode()
    assert sign_in(other_org, Role.TENANT_ADMIN).client.get(address).status_code == 404
    admin.client.post(address + "cancel/")
    assert "cancelled" in admin.client.get(address).content.decode()


def test_a_batch_job_without_or_with_a_wrong_file(admin):
    make_endpoint(admin.principal, make_version(admin.principal))
    assert admin.client.post("/console/batch/", {"endpoint": "adder"}).status_code == 400
    file = io.BytesIO(b"x")
    file.name = "rows.pdf"
    answer = admin.client.post("/console/batch/", {"endpoint": "adder", "file": file})
    assert answer.status_code == 400
    assert b'role="alert"' in answer.content
