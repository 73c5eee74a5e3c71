"""Bandit rollouts on real rows: rewards move the traffic, errors stop a version, a person names the winner."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F

from governance.errors import InvalidInput
from governance.tenants.context import platform_scope, tenant_context
from inference.registry.services import hold_version
from inference.rollouts import controller, rollout_services
from inference.rollouts.bandit_rollouts import checked_bandit, start_bandit
from inference.rollouts.feedback import Item, give_feedback
from inference.rollouts.models import Rollout, RolloutLook

pytestmark = pytest.mark.django_db


@pytest.fixture
def bandit(admin, endpoint):
    with tenant_context(admin.tenant_id):
        return start_bandit(
            principal=admin, endpoint_id=endpoint.id, versions=["2.0.0", "3.0.0"], plan={"look_every_s": 1}
        )


@pytest.fixture
def reward(admin, traffic):
    def give(version, count, good, **more):
        rows = traffic(version, count, **more)
        items = [Item(row.id, str(row.id), {"reward": float(n < good)}) for n, row in enumerate(rows)]
        with tenant_context(admin.tenant_id):
            give_feedback(principal=admin, items=items)
        return rows

    return give


def look(rollout):
    with platform_scope(), transaction.atomic():
        back = timedelta(seconds=30)
        Rollout.objects.filter(pk=rollout.pk).update(started_at=F("started_at") - back, looked_at=None)
    controller.control_rollouts()
    with platform_scope(), transaction.atomic():
        return Rollout.objects.get(pk=rollout.pk), RolloutLook.objects.filter(rollout=rollout).first()


def test_traffic_follows_the_rewards_within_floors(bandit, reward, split, admin, traffic):
    assert split() == {"1.0.0": 92, "2.0.0": 4, "3.0.0": 4}
    reward("1.0.0", 200, 100)
    late = traffic("2.0.0", 100)
    reward("3.0.0", 100, 90)
    rollout, last = look(bandit)
    assert (rollout.state, last.action) == ("running", "weigh")
    assert split()["3.0.0"] > 80
    assert min(split().values()) >= 4
    arms = last.judgement["bandit"]
    assert (arms["2.0.0"]["successes"], arms["3.0.0"]["successes"]) == (0, 90)
    assert arms["3.0.0"]["best"] > arms["1.0.0"]["best"]
    # Rewards that come late count as if they had come in time, and a correction replaces what it corrects.
    with tenant_context(admin.tenant_id):
        items = [Item(row.id, f"late-{n}", {"reward": 0.0}) for n, row in enumerate(late)]
        give_feedback(principal=admin, items=items)
        give_feedback(principal=admin, items=[Item(row.id, f"fix-{row.id}", {"reward": 1.0}) for row in late])
    _rollout, last = look(bandit)
    assert last.judgement["bandit"]["2.0.0"]["successes"] == 100
    assert split()["2.0.0"] > 80


def test_a_version_that_errs_or_may_not_answer_gets_nothing_any_more(
    bandit, reward, split, admin, versions, org
):
    reward("1.0.0", 200, 100)
    reward("2.0.0", 100, 100, errors=0.5)
    rollout, last = look(bandit)
    assert split()["2.0.0"] == 0
    assert "fails in" in last.reason
    assert list(last.judgement["stopped"]) == ["2.0.0"]
    with tenant_context(org.id):
        hold_version(principal=admin, version_id=versions["3.0.0"].id, reason="report")
    rollout, last = look(bandit)
    assert (rollout.state, last.action, split()) == ("rolled_back", "roll_back", {"1.0.0": 100})


def test_a_person_names_the_winner(bandit, split, admin):
    with tenant_context(admin.tenant_id):
        for version in ("", "9.9.9"):
            with pytest.raises(InvalidInput, match="which version wins"):
                rollout_services.promote(principal=admin, rollout_id=bandit.id, version=version)
        rollout_services.promote(principal=admin, rollout_id=bandit.id, version="3.0.0")
    assert split() == {"1.0.0": 0, "2.0.0": 0, "3.0.0": 100}


def test_bandits_that_are_refused():
    wrong = [
        (["1"], {}, "different versions"),
        (["1", "1"], {}, "different versions"),
        ([str(n) for n in range(11)], {}, "different versions"),
        (["1", "2"], {"colour": 1}, "has no"),
        (["1", "2"], {"versions": ["3"]}, "has no"),
        (["1", "2"], {"policy": "magic"}, "goes by a policy"),
        (["1", "2"], {"reward": "beauty"}, "goes by a policy"),
        (["1", "2"], {"floor": 51}, "floor"),
        (["1", "2"], {"floor": True}, "floor"),
        (["1", "2"], {"holdout": "0.1"}, "holdout"),
        (["1", "2"], {"gamma_per_hour": 0}, "gamma"),
        (["1", "2", "3"], {"floor": 50}, "no whole split"),
        (["1", "2"], {"floor": 20, "cap": 10}, "no whole split"),
    ]
    for versions, plan, said in wrong:
        with pytest.raises(InvalidInput, match=said):
            checked_bandit(versions, plan)
