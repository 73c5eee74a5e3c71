"""An inconclusive rollout goes to the oversight queue, and what a person answers there is done."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied
from governance.oversight import tasking
from governance.oversight.models import OversightTask
from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from inference.registry.services import hold_version
from inference.rollouts import controller, rollout_services
from inference.rollouts.bandit_rollouts import start_bandit
from inference.rollouts.models import Rollout

pytestmark = pytest.mark.django_db

PLAN = {
    "steps": [{"percent": 20, "min_s": 10, "max_s": 3600}],
    "guardrails": [{"metric": "error_rate", "tolerance": 0.05, "min_samples": 50}],
}


@pytest.fixture
def waiting(admin, endpoint, traffic):
    """A canary that came to the end of its step without enough evidence."""
    with tenant_context(admin.tenant_id):
        made = rollout_services.start_rollout(
            principal=admin, endpoint_id=endpoint.id, kind="canary", version="2.0.0", plan=PLAN
        )
    with platform_scope(), transaction.atomic():
        Rollout.objects.filter(pk=made.pk).update(step_started_at=F("step_started_at") - timedelta(hours=2))
    traffic("1.0.0", 40)
    traffic("2.0.0", 10)
    controller.control_rollouts()
    return made


@pytest.fixture
def decide(org, principal_for, inside):
    """Somebody who did not ask decides the one open task."""

    def answer(text, reason="looked at the evidence"):
        somebody = principal_for(org, Role.TENANT_ADMIN)
        with inside():
            task = OversightTask.objects.get(state="open")
            tasking.decide_task(principal=somebody, task_id=task.id, answer=text, reason=reason)
        controller.control_rollouts()

    return answer


@pytest.fixture
def state(inside):
    def read(rollout):
        with inside():
            return Rollout.objects.get(pk=rollout.pk).state

    return read


def test_who_may_not_move_traffic_does_not_do_it_in_the_queue(waiting, state, inside, org, principal_for):
    officer = principal_for(org, Role.ETHICS_OFFICER)
    with inside():
        task = OversightTask.objects.get(state="open")
        with pytest.raises(AccessDenied) as refused:
            tasking.decide_task(principal=officer, task_id=task.id, answer=task.options[0], reason="good")
        assert refused.value.decision.action == "rollouts.endpoint.split"
        task.refresh_from_db()
        assert task.state == "open"
    controller.control_rollouts()
    assert state(waiting) == "holding"


def test_the_question_says_what_a_person_needs(waiting, state, inside):
    assert state(waiting) == "holding"
    with inside():
        task = OversightTask.objects.get()
        assert task.options == ["promote 2.0.0", "go on", "roll back"]
        assert task.subject_id == str(waiting.id)
        assert waiting.endpoint.name in task.question
        assert Rollout.objects.get(pk=waiting.pk).question == str(task.id)
        assert task.facts["versions"] == "1.0.0, 2.0.0"
    controller.control_rollouts()
    with inside():
        assert OversightTask.objects.count() == 1, "it is asked once"
    assert state(waiting) == "holding", "nobody has answered"


@pytest.mark.parametrize(
    ("answer", "then", "share"),
    [("promote 2.0.0", "promoted", 100), ("go on", "running", 20), ("roll back", "rolled_back", 0)],
)
def test_what_a_person_answers_is_done_and_says_who(
    answer, then, share, waiting, decide, state, split, inside
):
    decide(answer)
    assert state(waiting) == then
    assert split().get("2.0.0", 0) == share
    with inside():
        last = AuditEntry.objects.filter(action__startswith="rollouts.rollout").order_by("-sequence")[0]
        assert "decided in the oversight queue: looked at the evidence" in last.reason


def test_whoever_is_quicker_on_the_page_settles_it(waiting, admin, state, inside):
    with tenant_context(admin.tenant_id):
        rollout_services.roll_back_rollout(principal=admin, rollout_id=waiting.id, reason="seen enough")
    with inside():
        assert OversightTask.objects.get().state == "withdrawn"
        assert Rollout.objects.get(pk=waiting.pk).question is None
    controller.control_rollouts()
    assert state(waiting) == "rolled_back"


def test_an_answer_that_cannot_be_carried_out_is_asked_again(
    waiting, admin, decide, versions, state, split, inside
):
    with tenant_context(admin.tenant_id):
        hold_version(principal=admin, version_id=versions["2.0.0"].id, reason="abuse report")
    decide("promote 2.0.0")
    assert (state(waiting), split()["2.0.0"]) == ("holding", 20)
    with inside():
        asked = OversightTask.objects.get(state="open")
        assert "cannot be done" in asked.facts["why a person is asked"]
    decide("roll back")
    assert (state(waiting), split()) == ("rolled_back", {"1.0.0": 100})


def test_of_competing_versions_a_person_names_the_winner(admin, endpoint, decide, state, split):
    with tenant_context(admin.tenant_id):
        bandit = start_bandit(principal=admin, endpoint_id=endpoint.id, versions=["2.0.0", "3.0.0"])
        rollout_services.hold(principal=admin, rollout_id=bandit.id, reason="what is left may not take all")
    decide("promote 3.0.0")
    assert (state(bandit), split()) == ("promoted", {"1.0.0": 0, "2.0.0": 0, "3.0.0": 100})
