"""REST of models, endpoints and predictions with real tokens, and the figures that they show."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.rollouts.figures import version_figures
from inference.rollouts.models import OutcomeRecord
from inference.rollouts.services import drop_old_outcomes
from tests.factories.governance import bearer_token, make_application
from tests.factories.inference import adding_model, make_endpoint, make_version

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture
def admin(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def versions(admin):
    return [make_version(admin, version=f"{n}.0.0", artifact=adding_model(float(n))) for n in (1, 2)]


@pytest.fixture
def endpoint(admin, versions):
    return make_endpoint(admin, versions[0])


def token(org, *scopes, role=Role.SERVICE):
    application, secret = make_application(org, scopes=scopes, role=role)
    return application, {"Authorization": f"Bearer {bearer_token(application, secret)}"}


def test_a_developer_reads_and_an_administrator_moves_traffic(endpoint, org):
    _, reader = token(org, "models:read", role=Role.DEVELOPER)
    _, keeper = token(org, "models:read", "tenant:manage", role=Role.TENANT_ADMIN)
    client = Client()
    assert [m["name"] for m in client.get("/api/v1/models/", headers=reader).json()["results"]] == ["adder"]
    listed = client.get("/api/v1/model-versions/?model__name=adder", headers=reader).json()["results"]
    assert [v["version"] for v in listed] == ["2.0.0", "1.0.0"]
    address = f"/api/v1/endpoints/{endpoint.id}/"
    assert client.get(address, headers=reader).json()["split"] == [{"version": "1.0.0", "weight": 100}]
    body = {"weights": {"1.0.0": 80, "2.0.0": 20}, "reason": "canary"}

    def post(path, content, headers):
        return client.post(address + path, content, content_type="application/json", headers=headers)

    assert post("split/", body, reader).status_code == 403
    moved = post("split/", body, keeper)
    assert [arm["weight"] for arm in moved.json()["split"]] == [80, 20]
    wrong = post("split/", {"weights": {"1.0.0": 80}}, keeper)
    assert (wrong.status_code, wrong["Content-Type"]) == (400, "application/problem+json")
    assert post("rollback/", {"reason": "worse"}, keeper).json()["split"][0]["weight"] == 100
    assert post("rollback/", {}, keeper).status_code == 409
    history = client.get(f"{address}changes/", headers=reader).json()["results"]
    assert [change["kind"] for change in history] == ["roll_back", "set", "create"]


def test_an_objective_is_set_and_taken_back(endpoint, org):
    _, reader = token(org, "models:read", role=Role.DEVELOPER)
    _, keeper = token(org, "models:read", "tenant:manage", role=Role.TENANT_ADMIN)
    address, client = f"/api/v1/endpoints/{endpoint.id}/", Client()

    def post(content, headers):
        return client.post(address + "objective/", content, content_type="application/json", headers=headers)

    assert post({"latency_objective_ms": 50}, reader).status_code == 403
    for ms in (50, None):
        assert post({"latency_objective_ms": ms}, keeper).json()["latency_objective_ms"] == ms
        assert client.get(address, headers=reader).json()["latency_objective_ms"] == ms
    for ms in (0, 600_001, "fast"):
        answer = post({"latency_objective_ms": ms}, keeper)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/latency_objective_ms")
    assert post({}, keeper).status_code == 400


def test_another_tenant_finds_nothing(endpoint, other_org):
    _, stranger = token(other_org, "models:read", "tenant:manage", role=Role.TENANT_ADMIN)
    client = Client()
    assert client.get("/api/v1/endpoints/", headers=stranger).json()["results"] == []
    assert client.get(f"/api/v1/endpoints/{endpoint.id}/", headers=stranger).status_code == 404


async def test_a_prediction_over_rest_goes_the_way_of_v2(endpoint, org, admin):
    from asgiref.sync import sync_to_async

    from inference.serving.asgi import application as inference

    application, headers = await sync_to_async(token)(org, "models:infer")
    _, keeper = await sync_to_async(token)(org, "tenant:manage", role=Role.TENANT_ADMIN)
    client = AsyncClient()

    async def predict(body, name="adder"):
        return await client.post(
            f"/api/v1/endpoints/{name}/predict", body, content_type="application/json", headers=headers
        )

    await inference.startup()
    try:
        assert (await predict({"rows": [[1, 2, 3]]})).status_code == 403
        grant = f"/api/v1/endpoints/{endpoint.id}/grants/{application.id}"
        assert (await client.put(grant, headers=keeper)).status_code == 204
        for _ in range(100):
            answer = await predict({"rows": [[1, 2, 3], {"x": [4, 5, 6]}]})
            if answer.status_code == 200:
                break
        assert answer.status_code == 200, answer.content
        assert answer.json()["predictions"] == [{"y": [2.0, 3.0, 4.0]}, {"y": [5.0, 6.0, 7.0]}]
        assert answer.json()["version"] == "1.0.0"
        wrong = await predict({"rows": [["a", 2, 3]]})
        assert (wrong.status_code, wrong["Content-Type"]) == (400, "application/problem+json")
        assert "row 1" in wrong.json()["detail"]
        assert (await predict({"rows": [[1, 2, 3]]}, name="unknown")).status_code == 404
        assert (await predict({"rows": [[1, 2, 3]], "version": "9"})).status_code == 404
    finally:
        await inference.shutdown()
    count = await sync_to_async(_outcomes)(org)
    assert count == 1


def _outcomes(org):
    with tenant_context(org.id), transaction.atomic():
        return OutcomeRecord.objects.filter(status=200).count()


def test_figures_are_those_of_the_window_in_one_query(endpoint, versions, org):
    now = timezone.now()
    numbers = random.Random(7)
    latencies = {0: [], 1: []}
    rows = []
    for i in range(400):
        arm = 0 if i % 4 else 1
        latency = numbers.randint(1_000, 90_000)
        latencies[arm].append(latency)
        rows.append((arm, latency, 200, now - timedelta(seconds=i % 50)))
    rows += [(1, 5, 500, now)] * 5 + [(1, 5, 400, now)] * 3 + [(0, 9_999_999, 200, now - timedelta(hours=2))]
    with tenant_context(org.id), transaction.atomic():
        OutcomeRecord.objects.bulk_create(
            OutcomeRecord(
                tenant=org, endpoint=endpoint, model_version=versions[arm], at=at, latency_us=latency,
                status=status, rows=1, bytes_in=10,
            )
            for arm, latency, status, at in rows
        )  # fmt: skip
        with CaptureQueriesContext(
            connection,
        ) as queries:
            found = {f.version_id: f for f in version_figures([endpoint.id], window=timedelta(minutes=5))}
    assert len(queries) == 1
    stable, canary = (found[version.id] for version in versions)
    assert (stable.requests, stable.errors, stable.refused) == (300, 0, 0)
    assert (canary.requests, canary.errors, canary.refused) == (108, 5, 3)
    expected = sorted(latencies[0])
    assert stable.p50_ms == pytest.approx((expected[149] + expected[150]) / 2000)
    assert stable.p95_ms == pytest.approx(_percentile(expected, 0.95) / 1000)
    assert stable.p99_ms == pytest.approx(_percentile(expected, 0.99) / 1000)
    _, reader = token(org, "models:read", role=Role.DEVELOPER)
    shown = Client().get(f"/api/v1/endpoints/{endpoint.id}/?window_s=300", headers=reader).json()["metrics"]
    assert sum(figure["share"] for figure in shown) == pytest.approx(100, abs=0.02)


def _percentile(values, fraction):
    position = fraction * (len(values) - 1)
    low = int(position)
    return values[low] + (position - low) * (values[min(low + 1, len(values) - 1)] - values[low])


def test_old_outcomes_go(endpoint, versions, org):
    ages = (0, 29, 31, 400)
    with tenant_context(org.id), transaction.atomic():
        OutcomeRecord.objects.bulk_create(
            OutcomeRecord(
                tenant=org, endpoint=endpoint, model_version=versions[0], latency_us=1, status=200, rows=1,
                bytes_in=1, at=timezone.now() - timedelta(days=days),
            )
            for days in ages
        )  # fmt: skip
    assert drop_old_outcomes(batch_rows=1) == 2
    assert _outcomes(org) == 2
