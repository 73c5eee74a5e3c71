"""Approvals, oversight and stop buttons on the hot route of the real site."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest

from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from tests.factories.governance import make_member, make_tenant, proven
from tests.inference.serving.site_house import BODY, House, becomes

if TYPE_CHECKING:
    from governance.principals import Principal

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.live]


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
