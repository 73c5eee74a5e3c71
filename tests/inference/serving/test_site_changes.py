"""Changes reach the hot route of the real site within a second: rights, keys, tenants, traffic, objectives."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest

from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from tests.factories.governance import bearer_token, make_member, proven
from tests.inference.serving.site_house import WITHIN_S, House, becomes
from tests.services import TestServices

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.live]


def test_revocations_are_felt_within_a_second(infer: Callable[..., httpx.Response], house: House) -> None:
    from oauth2_provider.models import get_access_token_model

    from governance.access.services import disable_application

    assert infer().status_code == 200
    house.do("revoke_invoke", application_id=house.application.id)
    becomes(403, infer)
    house.do("grant_invoke", application_id=house.application.id)
    becomes(200, infer)
    with platform_scope():
        get_access_token_model().objects.all().delete()
    becomes(401, infer)
    token = bearer_token(house.application, house.secret)
    assert infer(token).status_code == 200
    with tenant_context(house.tenant.id):
        disable_application(principal=house.principal, application_id=house.application.id)
    becomes(401, lambda: infer(token))


def test_a_destroyed_key_takes_the_loaded_model_along(
    infer: Callable[..., httpx.Response], house: House, site_url: str
) -> None:
    from governance.access.principals import principal_for_user
    from governance.keys import services

    def index() -> str:
        headers = {"Authorization": f"Bearer {house.token}"}
        return httpx.post(f"{site_url}/v2/repository/index", headers=headers).text

    assert infer().status_code == 200
    with tenant_context(house.tenant.id):
        services.rotate_wrapping_key(principal=house.principal, tenant_id=house.tenant.id)
    assert infer().status_code == 200
    assert '"READY"' in index(), "a rotation unloads nothing"
    other = make_member(house.tenant, Role.TENANT_ADMIN)
    second = principal_for_user(other, tenant_id=house.tenant.id, signals=proven())
    with tenant_context(house.tenant.id):
        asked = services.request_destruction(
            principal=house.principal, tenant_id=house.tenant.id, reason="the contract ended"
        )
        services.confirm_destruction(principal=second, destruction_id=asked.id)
    # Nobody asks for the model meanwhile: it goes by itself.
    began = time.monotonic()
    while '"READY"' in index():
        assert time.monotonic() - began < WITHIN_S
        time.sleep(0.02)
    assert "destroyed" in becomes(503, infer).json()["error"]


def test_a_suspended_tenant_stops_within_a_second(infer: Callable[..., httpx.Response], house: House) -> None:
    from governance.access.services import resume_tenant, suspend_tenant
    from governance.principals import SYSTEM

    assert infer().status_code == 200
    with platform_scope():
        suspend_tenant(principal=SYSTEM, tenant_id=house.tenant.id, reason="test")
    becomes(401, infer)
    with platform_scope():
        resume_tenant(principal=SYSTEM, tenant_id=house.tenant.id, reason="test")
    becomes(200, infer)


def test_traffic_moves_within_a_second_and_back(infer: Callable[..., httpx.Response], house: House) -> None:
    def answered_by(version: str) -> Callable[[], httpx.Response]:
        def call() -> httpx.Response:
            answer = infer()
            assert answer.status_code == 200
            return answer if answer.json()["model_version"] == version else httpx.Response(404)

        return call

    assert infer().json()["model_version"] == "1.0.0"
    house.do("set_split", weights={"1.0.0": 0, "2.0.0": 100})
    assert becomes(200, answered_by("2.0.0")).json()["outputs"][0]["data"] == [11, 12, 13]
    assert infer(path="adder/versions/1.0.0").json()["outputs"][0]["data"] == [2, 3, 4]
    house.do("roll_back", reason="test")
    becomes(200, answered_by("1.0.0"))


def test_an_objective_reaches_the_batcher_within_a_second_and_leaves_it(
    infer: Callable[..., httpx.Response], house: House, site_url: str
) -> None:
    from inference.rollouts.objectives import set_objective

    def followed() -> str:
        headers = {"Authorization": f"Bearer {house.token}"}
        answer = httpx.get(f"{site_url}/v2/models/adder/config", headers=headers)
        return str(answer.json()["parameters"]["latency_objective_ms"]["string_value"])

    assert infer().status_code == 200
    for wanted, seen in ((20, "20"), (None, "1000")):
        with tenant_context(house.tenant.id):
            set_objective(
                principal=house.principal, endpoint_id=house.endpoint.id, latency_objective_ms=wanted
            )
        becomes(200, lambda seen=seen: httpx.Response(200 if followed() == seen else 404))
        assert infer().status_code == 200


def test_no_request_fails_while_traffic_moves(infer: Callable[..., httpx.Response], house: House) -> None:
    for share in (10, 50, 90, 100, 0):
        house.do("set_split", weights={"1.0.0": 100 - share, "2.0.0": share})
        assert {infer().status_code for _ in range(20)} == {200}


def test_a_revocation_is_felt_although_the_listener_lost_its_connection(
    infer: Callable[..., httpx.Response], house: House, services: TestServices
) -> None:
    assert infer().status_code == 200
    with psycopg.connect(services.postgres.superuser_dsn, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'openclaw listener'"
        ).fetchall()
    assert (True,) in ended
    house.do("revoke_invoke", application_id=house.application.id)
    becomes(403, infer)
    deadline = time.monotonic() + 5
    while httpx.get(infer().request.url.join("/v2/health/ready")).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    house.do("grant_invoke", application_id=house.application.id)
    becomes(200, infer)
