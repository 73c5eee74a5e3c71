"""The endpoint pages: making one, moving traffic, rolling back, and who may call."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from tests.factories.governance import make_application
from tests.factories.inference import adding_model, make_endpoint, make_version
from tests.site.pages.test_frame import assert_strict

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture
def admin(org, sign_in):
    return sign_in(org, Role.TENANT_ADMIN)


@pytest.fixture
def endpoint(admin):
    return make_endpoint(admin.principal, make_version(admin.principal))


def split_of(endpoint):
    with tenant_context(endpoint.tenant_id), transaction.atomic():
        return {
            arm.model_version.version: arm.weight for arm in endpoint.arms.select_related("model_version")
        }


def test_make_an_endpoint(admin):
    version = make_version(admin.principal)
    answer = admin.client.post("/console/endpoints/new/", {"name": "adder", "version": str(version.id)})
    assert answer.status_code == 302
    page = admin.client.get(answer.headers["Location"]).content.decode()
    assert "/v2/models/adder/infer" in page
    bad = admin.client.post("/console/endpoints/new/", {"name": "Not A Name", "version": str(version.id)})
    assert bad.status_code == 400
    assert b'role="alert"' in bad.content


def test_canary_and_rollback(admin, endpoint):
    make_version(admin.principal, version="1.1.0", artifact=adding_model(2.0))
    address = f"/console/endpoints/{endpoint.id}/"
    assert "1.1.0" in admin.client.get(address).content.decode()
    admin.client.post(address + "split/", {"weight-1.0.0": "100", "add": "1.1.0"})
    assert split_of(endpoint) == {"1.0.0": 100, "1.1.0": 0}
    admin.client.post(address + "split/", {"weight-1.0.0": "90", "weight-1.1.0": "10", "reason": "canary"})
    assert split_of(endpoint) == {"1.0.0": 90, "1.1.0": 10}
    page = admin.client.get(address)
    assert 'type="range"' in page.content.decode()
    assert "canary" in page.content.decode()
    change = page.context["last_change"].id
    admin.client.post(address + "roll-back/", {"change": str(change)})
    assert split_of(endpoint) == {"1.0.0": 100, "1.1.0": 0}
    again = admin.client.post(address + "roll-back/", {"change": str(change)})
    assert again.status_code == 409


def test_a_wrong_sum_changes_nothing_and_says_why(admin, endpoint):
    make_version(admin.principal, version="1.1.0", artifact=adding_model(2.0))
    address = f"/console/endpoints/{endpoint.id}/split/"
    answer = admin.client.post(address, {"weight-1.0.0": "90", "weight-1.1.0": "5"}, follow=True)
    assert "must sum to 100" in answer.content.decode()
    assert split_of(endpoint) == {"1.0.0": 100}
    answer = admin.client.post(address, {"weight-1.0.0": "many"}, follow=True)
    assert "whole percents" in answer.content.decode()


def test_only_those_who_may_move_traffic(org, other_org, endpoint, sign_in):
    developer = sign_in(org, Role.DEVELOPER).client
    address = f"/console/endpoints/{endpoint.id}/"
    page = developer.get(address)
    assert page.status_code == 200
    assert b"Set the split" not in page.content
    assert developer.post(address + "split/", {"weight-1.0.0": "100"}).status_code == 403
    stranger = sign_in(other_org, Role.TENANT_ADMIN).client
    assert stranger.get(address).status_code == 404
    assert stranger.post(address + "roll-back/").status_code == 404


def test_applications_are_allowed_and_refused(admin, endpoint, org):
    from governance.access.grants import has_grant

    application, _secret = make_application(org, scopes=["models:infer"])
    address = f"/console/endpoints/{endpoint.id}/grants/"
    for field, expected in (("give", True), ("take", False)):
        admin.client.post(address, {field: str(application.id)})
        with platform_scope(), transaction.atomic():
            held = has_grant(
                user_id=application.service_user_id,
                permission="rollouts.invoke_endpoint",
                object_id=str(endpoint.id),
            )
        assert held is expected


def test_an_objective_is_set_on_the_page_and_a_mistake_stands_beside_it(admin, endpoint, org, sign_in):
    from inference.rollouts.selectors import endpoint_snapshot

    address = f"/console/endpoints/{endpoint.id}/"
    page = admin.client.get(address)
    assert_strict(page)
    assert "1000 ms, as in the whole installation" in page.content.decode()
    assert admin.client.post(address + "objective/", {"ms": "50"}).status_code == 302
    assert endpoint_snapshot(org.id, endpoint.name).objective_s == 0.05
    assert 'value="50"' in admin.client.get(address).content.decode()
    for mistake in ("0", "soon", "600001"):
        refused = admin.client.post(address + "objective/", {"ms": mistake})
        assert refused.status_code == 400
        assert_strict(refused)
        assert "from 1 to 600000" in str(refused.context["objective_error"])
        assert refused.content.count(b'aria-invalid="true"') == 1
    developer = sign_in(org, Role.DEVELOPER).client
    assert developer.post(address + "objective/", {"ms": "5"}).status_code == 403
    assert b"Set the objective" not in developer.get(address).content
    assert endpoint_snapshot(org.id, endpoint.name).objective_s == 0.05
    assert admin.client.post(address + "objective/", {"ms": ""}).status_code == 302
    assert endpoint_snapshot(org.id, endpoint.name).objective_s is None


def test_figures_count_errors_and_latency_per_version(admin, endpoint, platform, sign_in):
    from inference.rollouts.models import EndpointArm, OutcomeRecord

    with platform_scope(), transaction.atomic():
        version_id = EndpointArm.objects.get(endpoint=endpoint).model_version_id
        OutcomeRecord.objects.bulk_create(
            OutcomeRecord(
                tenant_id=endpoint.tenant_id,
                endpoint=endpoint,
                model_version_id=version_id,
                at=timezone.now() - timedelta(seconds=10 + index % 60),
                latency_us=1000 * (1 + index % 10),
                status=500 if index % 10 == 0 else 404 if index % 10 == 1 else 200,
                rows=1,
                bytes_in=100,
            )
            for index in range(300)
        )
    page = admin.client.get(f"/console/endpoints/{endpoint.id}/figures/")
    figures = page.context["row"].arms[0].figures
    assert (figures.requests, figures.errors, figures.refused) == (300, 30, 30)
    assert 3 <= figures.p50_ms <= 8
    assert figures.p99_ms <= 10
    assert "<polyline" in page.content.decode()
    house = sign_in(platform, Role.PLATFORM_ADMIN).client.get("/console/house/")
    assert house.context["house"].totals["errors"] == 30
    assert "10.0 %" in house.content.decode()
