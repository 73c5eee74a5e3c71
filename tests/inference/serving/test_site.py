"""The hot route on the real site: granian, PostgreSQL, OAuth 2.0 tokens, grants, announcements and outcome records."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import psycopg
import pytest

from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from tests.factories.governance import bearer_token, make_application, make_member, make_tenant, proven
from tests.factories.proofs import Key
from tests.inference.serving.conftest import ROOT, free_port, wait_until_ready
from tests.services import TestServices

if TYPE_CHECKING:
    from governance.access.models import Application
    from governance.principals import Principal
    from governance.tenants.models import Tenant, User

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.live]

BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
WITHIN_S = 1.0


@pytest.fixture(scope="session")
def site_url(
    services: TestServices, django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The site under granian, on this run's services."""
    port, folder = free_port(), tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "granian", "--interface=asgi", "--host=127.0.0.1", f"--port={port}"]
    command += ["--workers=1", "--loop=uvloop", "--no-access-log", "openclaw_site.asgi:application"]
    with (folder / "log").open("w") as log:
        environment = os.environ | services.environment()
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            wait_until_ready(server, f"http://127.0.0.1:{port}/v2/health/ready", folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


class House:
    """A tenant with a model behind an endpoint, and a client that may call it."""

    def __init__(self, slug: str = "bank") -> None:
        from tests.factories.inference import adding_model, make_endpoint, make_version

        make_tenant("platform", kind="platform")
        self.tenant: Tenant = make_tenant(slug, kind="organisation")
        self.admin: User = make_member(self.tenant, Role.TENANT_ADMIN)
        version = make_version(self.principal, version="1.0.0")
        self.endpoint = make_endpoint(self.principal, version)
        make_version(self.principal, version="2.0.0", artifact=adding_model(10.0))
        self.application, self.secret = self.client()
        self.token = bearer_token(self.application, self.secret)

    @property
    def principal(self) -> Principal:
        from governance.access.principals import principal_for_user

        return principal_for_user(self.admin, tenant_id=self.tenant.id, signals=proven())

    def client(self, *, granted: bool = True) -> tuple[Application, str]:
        application, secret = make_application(self.tenant, scopes=["models:infer"], owner=self.admin)
        if granted:
            self.do("grant_invoke", application_id=application.id)
        return application, secret

    def do(self, service: str, **options: Any) -> None:
        """Call a service of the rollouts app as the tenant's administrator."""
        from inference.rollouts import services

        with tenant_context(self.tenant.id):
            getattr(services, service)(principal=self.principal, endpoint_id=self.endpoint.id, **options)


@pytest.fixture
def house(site_url: str) -> House:
    return House()


@pytest.fixture
def infer(site_url: str, house: House) -> Callable[..., httpx.Response]:
    """Call the endpoint, by default as the house's client."""

    def call(token: str = house.token, path: str = "adder") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.post(f"{site_url}/v2/models/{path}/infer", json=BODY, headers=headers)

    return call


def becomes(status: int, call: Callable[[], httpx.Response]) -> httpx.Response:
    """The first answer with this status; it must come within a second."""
    began = time.monotonic()
    while True:
        answer = call()
        if answer.status_code == status:
            return answer
        assert time.monotonic() - began < WITHIN_S, f"{answer.status_code} {answer.text}"
        time.sleep(0.02)


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


def test_an_approval_and_its_conditions_are_enforced_on_the_hot_route(
    site_url: str, infer: Callable[..., httpx.Response], house: House
) -> None:
    from django.db import transaction

    from governance.access.principals import principal_for_user
    from governance.ethics import services as ethics
    from governance.oversight.tasking import decide_task
    from governance.refs import ObjectRef
    from inference.registry.models import ModelVersion
    from tests.governance.ethics import steps

    def person(slug: str, kind: str, role: Role) -> Principal:
        tenant = make_tenant(slug, kind=kind)
        return principal_for_user(make_member(tenant, role), tenant_id=tenant.id, signals=proven())

    with tenant_context(house.tenant.id), transaction.atomic():
        versions = {v.version: ObjectRef.of(v, digest=v.sha256) for v in ModelVersion.objects.all()}
    assert infer().status_code == 200
    steps.bind(house.tenant.id, versions["1.0.0"])
    assert "approval" in becomes(403, infer).json()["error"]
    partner = person("acme", "partner", Role.PARTNER)
    officer = person("platform", "platform", Role.ETHICS_OFFICER)
    conditions = [
        {"kind": "purposes_only", "value": ["adding"]},
        {"kind": "person_confirms_above", "value": 100},
    ]
    steps.decide(officer, steps.ask(partner), conditions=conditions)

    def use(**said: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {house.token}"}
        headers |= {f"X-OpenClaw-{name.title()}": value for name, value in said.items()}
        return httpx.post(f"{site_url}/v2/models/adder/infer", json=BODY, headers=headers)

    assert becomes(200, lambda: use(purpose="adding", amount="100")).json()["model_version"] == "1.0.0"
    assert "names none" in infer().json()["error"]
    assert "“spying”" in use(purpose="spying", amount="1").json()["error"]
    assert "oversight_task" not in use(purpose="adding", amount="100").json()["parameters"]
    withheld = use(purpose="adding", amount="101")
    assert withheld.status_code == 202
    assert set(withheld.json()) == {"error", "oversight_task"}, "nothing of the answer is given"
    mine = f"{site_url}{withheld.headers['location']}"
    mail = {"Authorization": f"Bearer {house.token}"}
    assert httpx.get(mine, headers=mail).status_code == 202
    # Who owns the program that asked cannot confirm it; somebody else can.
    clerk = principal_for_user(
        make_member(house.tenant, Role.DATA_SCIENTIST), tenant_id=house.tenant.id, signals=proven()
    )
    task_id = UUID(withheld.json()["oversight_task"])
    with tenant_context(house.tenant.id):
        decide_task(principal=clerk, task_id=task_id, answer="confirm", reason="it adds up")
    given = httpx.get(mine, headers=mail)
    assert given.status_code == 200
    assert given.json()["parameters"]["oversight_task"] == str(task_id)
    assert given.json()["outputs"] == use(purpose="adding", amount="100").json()["outputs"]
    plain = httpx.post(
        f"{site_url}/api/v1/endpoints/adder/predict",
        json={"rows": [[1, 2, 3]]},
        headers=mail | {"X-OpenClaw-Purpose": "adding", "X-OpenClaw-Amount": "101"},
    )
    assert (plain.status_code, plain.json()["errors"][0]["pointer"]) == (202, "/oversight_task")
    assert use(purpose="adding", amount="a lot").status_code == 400
    assert use(purpose="Adding!").status_code == 400
    # The other version needs no approval: it answers alone when the approval of the first one is gone.
    house.do("set_split", weights={"1.0.0": 50, "2.0.0": 50})
    with platform_scope():
        ethics.void_approvals(principal=officer, subject=steps.subject(), reason="Withdrawn.")
    answered = {becomes(200, infer).json()["model_version"] for _ in range(10)}
    assert answered == {"2.0.0"}


def test_an_answer_that_a_person_must_look_at_says_so_and_is_in_the_queue(
    infer: Callable[..., httpx.Response], house: House
) -> None:
    from django.db import transaction

    from governance.oversight.models import OversightTask
    from governance.oversight.ruling import save_rule
    from governance.refs import ObjectRef

    assert "oversight_task" not in infer().json()["parameters"]
    with tenant_context(house.tenant.id):
        save_rule(
            principal=house.principal,
            target=ObjectRef.of(house.endpoint),
            tenant_id=house.tenant.id,
            question="Is the sum right?",
            options=["yes", "no"],
            confidence_below=0.9,
            output="no such output",
            due_minutes=30,
        )
    deadline = time.monotonic() + 10
    while "oversight_task" not in (answer := infer()).json()["parameters"]:
        assert time.monotonic() < deadline
    with tenant_context(house.tenant.id), transaction.atomic():
        task = OversightTask.objects.get(pk=answer.json()["parameters"]["oversight_task"])
    assert (task.question, task.cause, task.state) == ("Is the sum right?", "low_confidence", "open")
    assert task.decision_id == answer.json()["parameters"]["prediction_id"]
    with tenant_context(house.tenant.id):
        save_rule(
            principal=house.principal,
            target=ObjectRef.of(house.endpoint),
            tenant_id=house.tenant.id,
            question="Is the sum right?",
            options=[],
            confidence_below=0.9,
            output="no such output",
            due_minutes=30,
            withhold=True,
        )
    withheld = becomes(202, infer)
    assert set(withheld.json()) == {"error", "oversight_task"}, "nothing of the answer is given"
    with tenant_context(house.tenant.id), transaction.atomic():
        task = OversightTask.objects.get(pk=withheld.json()["oversight_task"])
    assert (task.cause, task.options) == ("low_confidence", ["confirm", "reject"])


def test_a_pressed_stop_button_stops_the_endpoint_until_two_people_release_it(
    infer: Callable[..., httpx.Response], house: House
) -> None:
    from governance.access.principals import principal_for_user
    from governance.oversight import services
    from governance.refs import ObjectRef

    assert infer().status_code == 200
    with tenant_context(house.tenant.id):
        stop = services.press_stop(
            principal=house.principal,
            scope="endpoint",
            target=ObjectRef.of(house.endpoint),
            reason="wrong answers",
        )
    refused = becomes(403, infer)
    assert "wrong answers" in refused.json()["error"]
    second = principal_for_user(
        make_member(house.tenant, Role.TENANT_ADMIN), tenant_id=house.tenant.id, signals=proven()
    )
    with tenant_context(house.tenant.id):
        services.ask_release(principal=house.principal, stop_id=stop.id, reason="the model was replaced")
        services.release_stop(principal=second, stop_id=stop.id)
    becomes(200, infer)
