"""What binds an experiment: approvals, whoever looks at the same time, records that are dropped."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from governance.errors import AccessDenied, InvalidInput
from governance.principals import Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from inference.rollouts import controller
from inference.rollouts.experiment_rollouts import start_experiment
from inference.rollouts.models import Rollout, RolloutLook, SplitChange
from tests.governance.ethics import steps

pytestmark = pytest.mark.django_db(transaction=True)

SHARES = {"1.0.0": 40, "2.0.0": 30, "3.0.0": 30}
PLAN = {
    "shares": SHARES,
    "metric": "error_rate",
    "effect": 0.05,
    "guardrails": [],
    "min_s": 0,
    "end": "promote",
}


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    from inference.rollouts import experiment_windows

    monkeypatch.setattr(experiment_windows, "SETTLE", timedelta(0))


@pytest.fixture
def begin(admin, endpoint):
    def start(**plan):
        with tenant_context(admin.tenant_id):
            return start_experiment(principal=admin, endpoint_id=endpoint.id, plan=PLAN | plan)

    return start


@pytest.fixture
def capped(org, principal_for):
    """An approval of a version that caps its share of the traffic."""

    def approve(version, percent):
        target = ObjectRef.of(version, digest=version.sha256)
        asker, officer = principal_for(org, Role.TENANT_ADMIN), principal_for(org, Role.ETHICS_OFFICER)
        about = steps.subject(version.sha256)
        approval = steps.ask(asker, about)
        terms = [{"kind": "traffic_share_at_most", "value": percent}]
        steps.decide(officer, approval, conditions=terms)
        steps.bind(org.id, target, about=about)

    return approve


def due(rollout):
    with platform_scope(), transaction.atomic():
        Rollout.objects.filter(pk=rollout.pk).update(looked_at=None)


def state_of(rollout):
    with platform_scope(), transaction.atomic():
        return Rollout.objects.get(pk=rollout.pk), RolloutLook.objects.filter(rollout=rollout).first()


def test_a_cap_of_an_approval_binds_the_start_and_the_winner(begin, capped, versions, traffic, split):
    capped(versions["3.0.0"], 30)
    with pytest.raises(AccessDenied):
        begin(shares={"1.0.0": 60, "3.0.0": 40})
    assert split() == {"1.0.0": 100}
    made = begin()
    traffic("1.0.0", 400, errors=0.4, propensity=0.4)
    traffic("2.0.0", 300, errors=0.4, propensity=0.3)
    traffic("3.0.0", 300, propensity=0.3)
    controller.control_rollouts()
    rollout, last = state_of(made)
    assert (rollout.state, last.verdict, last.action) == ("holding", "promote", "ask")
    assert "3.0.0 wins" in last.reason
    assert "cannot be done" in last.reason
    assert split() == SHARES


def test_a_treatment_that_loses_its_approval_is_stopped(begin, versions, org, split):
    made = begin()
    with tenant_context(org.id):
        steps.bind(org.id, ObjectRef.of(versions["3.0.0"], digest=versions["3.0.0"].sha256))
    controller.control_rollouts()
    rollout, last = state_of(made)
    assert (rollout.state, last.action, split()["3.0.0"]) == ("running", "weigh", 0)
    assert "has no valid approval" in last.reason


def test_two_controllers_and_a_second_look_do_it_once(begin, traffic, split):
    made = begin(min_s=3600)
    traffic("1.0.0", 400, propensity=0.4)
    traffic("2.0.0", 300, errors=0.9, propensity=0.3)
    traffic("3.0.0", 300, propensity=0.3)

    def control():
        try:
            controller.control_rollouts()
        finally:
            connection.close()

    both = [threading.Thread(target=control) for _controller in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    due(made)
    controller.control_rollouts()
    rollout, _last = state_of(made)
    assert split() == {"1.0.0": 70, "2.0.0": 0, "3.0.0": 30}
    assert rollout.state == "running"
    with platform_scope(), transaction.atomic():
        assert SplitChange.objects.filter(rollout=made).count() == 2


def test_an_experiment_ends_before_its_records_are_dropped(begin, settings):
    settings.OUTCOME_RETENTION_DAYS = 3
    with pytest.raises(InvalidInput, match="max_s"):
        begin(max_s=4 * 86_400)
    made = begin()
    assert made.plan["max_s"] == 3 * 86_400
