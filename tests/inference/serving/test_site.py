"""The hot route on the real site: granian, PostgreSQL, OAuth 2.0 tokens, grants and outcome records."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest

from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from tests.factories.governance import bearer_token, make_application, make_member, make_tenant
from tests.factories.proofs import Key
from tests.inference.serving.conftest import ROOT
from tests.inference.serving.site_house import BODY, House

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.live]


def test_a_granted_client_gets_its_prediction(infer: Callable[..., httpx.Response], house: House) -> None:
    answer = infer()
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == [2, 3, 4]
    assert answer.json()["model_version"] == "1.0.0"
    assert infer(path="adder/versions/2.0.0").status_code == 404
    assert infer(path="nothing").status_code == 404


def test_a_bound_token_works_with_its_key_alone(
    site_url: str, infer: Callable[..., httpx.Response], house: House
) -> None:
    key = Key()
    fields = {
        "grant_type": "client_credentials",
        "client_id": house.application.client_id,
        "client_secret": house.secret,
    }
    proof = key.proof("POST", f"{site_url}/o/token/")
    made = httpx.post(f"{site_url}/o/token/", data=fields, headers={"DPoP": proof}).json()
    assert made["token_type"] == "DPoP"
    token, url = made["access_token"], f"{site_url}/v2/models/adder/infer"

    def call(proof: str) -> httpx.Response:
        return httpx.post(url, json=BODY, headers={"Authorization": f"DPoP {token}", "DPoP": proof})

    good = key.proof("POST", url, token)
    assert call(good).status_code == 200
    assert call(good).status_code == 401
    assert call(Key().proof("POST", url, token)).status_code == 401
    assert infer(token).status_code == 401
    with platform_scope():
        from django.db import transaction

        from governance.audit.models import AuditEntry

        with transaction.atomic():
            kept = AuditEntry.objects.filter(action="access.token.use", actor_id=str(house.application.id))
            assert kept.count() == 3


def test_a_client_without_the_grant_or_the_scope_is_refused_and_that_is_kept(
    infer: Callable[..., httpx.Response], house: House
) -> None:
    from governance.audit.models import AuditEntry

    token = bearer_token(*house.client(granted=False))
    answer = infer(token)
    assert answer.status_code == 403
    assert "rollouts.invoke_endpoint" in answer.json()["error"]
    with platform_scope():
        from django.db import transaction

        with transaction.atomic():
            entry = AuditEntry.objects.get(action="rollouts.endpoint.invoke", decision="deny")
    assert entry.target_id == str(house.endpoint.id)


def test_another_tenants_endpoint_does_not_exist(infer: Callable[..., httpx.Response], house: House) -> None:
    other = make_tenant("plant", kind="organisation")
    application, secret = make_application(
        other, scopes=["models:infer"], owner=make_member(other, Role.DEVELOPER)
    )
    assert infer(bearer_token(application, secret)).status_code == 404


def test_outcomes_are_written_behind_the_requests(infer: Callable[..., httpx.Response], house: House) -> None:
    from django.db import transaction

    from inference.rollouts.models import OutcomeRecord

    ids = {UUID(infer().json()["parameters"]["prediction_id"]) for _ in range(5)}
    headers = {"Authorization": f"Bearer {house.token}"}
    url = str(infer().request.url)
    assert httpx.post(url, content=b"{", headers=headers).status_code == 400
    deadline = time.monotonic() + 5
    while True:
        with tenant_context(house.tenant.id), transaction.atomic():
            rows = {row.id: row for row in OutcomeRecord.objects.all()}
        if len(rows) >= 7 or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert ids <= rows.keys()
    row = rows[ids.pop()]
    assert (row.endpoint_id, row.status, row.rows) == (house.endpoint.id, 200, 1)
    assert row.latency_us > 0
    assert row.bytes_in > 50
    assert row.principal_id == str(house.application.id)
    refused = next(row for row in rows.values() if row.status == 400)
    assert refused.model_version_id is None
    other = make_tenant("plant", kind="organisation")
    with tenant_context(other.id), transaction.atomic():
        assert OutcomeRecord.objects.count() == 0


def test_the_small_client_predicts_and_tells_what_became_of_it(site_url: str, house: House) -> None:
    from openclaw_client import Client, ClientError

    credentials = {"client_id": house.application.client_id, "client_secret": house.secret}
    with Client(site_url, **credentials) as client:
        answer = client.predict("adder", [[1, 2, 3]])
        assert answer.predictions == [{"y": [2.0, 3.0, 4.0]}]
        assert (answer.version, answer.propensity) == ("1.0.0", 1.0)
        # The token is taken away meanwhile; the record of the decision may still be on its way.
        client._token = "gone"
        client.tell(answer.decision_id, reward=1.0, task_completed=True, key="case-1")
        assert [(receipt.key, receipt.status) for receipt in client.flush()] == [("case-1", "accepted")]
        client.tell(answer.decision_id, reward=1.0, task_completed=True, key="case-1")
        client.tell(answer.decision_id, reward=0.5, key="case-1-corrected")
        assert [receipt.status for receipt in client.flush()] == ["repeated", "accepted"]
        with pytest.raises(ClientError, match="there is no endpoint") as refused:
            client.predict("nothing", [[1, 2, 3]])
        assert refused.value.status == 404
    with pytest.raises(ClientError) as refused, Client(site_url, client_id="x", client_secret="y") as client:
        client.predict("adder", [[1, 2, 3]])
    assert refused.value.status == 401


def test_the_server_never_imports_torch() -> None:
    script = (
        "import django, sys; django.setup(); import openclaw_site.asgi; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=Path(ROOT), check=True)
