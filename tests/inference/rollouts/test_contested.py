"""Who comes at the same time, what is gone meanwhile, and a clock that jumps: one outcome, and a whole split."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection

from governance.audit.models import AuditEntry
from governance.errors import Conflict, DomainError, InvalidInput
from governance.tenants.context import tenant_context
from inference.registry.models import ModelVersion
from inference.registry.services import hold_version
from inference.rollouts import controller, rollout_services
from inference.rollouts.bandit_rollouts import start_bandit
from inference.rollouts.lifecycle import database_time
from inference.rollouts.models import Rollout, RolloutLook, SplitChange

PLAN = {
    "steps": [{"percent": 20, "min_s": 10, "max_s": 3600}],
    "guardrails": [{"metric": "error_rate", "tolerance": 0.05, "min_samples": 50}],
    "look_every_s": 1,
}
ENDS = {
    "promote": ("promoted", 100),
    "roll_back_rollout": ("rolled_back", 0),
    "cancel_rollout": ("cancelled", 0),
}


@pytest.fixture
def canary(admin, endpoint):
    with tenant_context(admin.tenant_id):
        return rollout_services.start_rollout(
            principal=admin, endpoint_id=endpoint.id, kind="canary", version="2.0.0", plan=PLAN
        )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("other", ["roll_back_rollout", "cancel_rollout"])
def test_of_two_administrators_at_once_one_decides_and_the_other_is_told(other, canary, admin, split, inside):
    ready, told, done = threading.Barrier(2), [], []

    def decide(service):
        try:
            with tenant_context(admin.tenant_id):
                ready.wait(10)
                getattr(rollout_services, service)(
                    principal=admin, rollout_id=canary.id, reason="mine", expected_state="running"
                )
            done.append(service)
        except DomainError as error:
            told.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=(service,)) for service in ("promote", other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 1, (done, told)
    assert [type(error) for error in told] == [Conflict]
    assert "moved on" in str(told[0])
    state, share = ENDS[done[0]]
    assert split().get("2.0.0", 0) == share
    with inside():
        assert Rollout.objects.get().state == state
        assert SplitChange.objects.filter(rollout=canary).count() == 2
        ends = AuditEntry.objects.filter(action__startswith="rollouts.rollout").exclude(
            action__endswith="start"
        )
        assert ends.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["held", "retired"])
def test_a_version_that_is_gone_is_not_promoted(state, canary, admin, versions, split, inside):
    if state == "held":
        with tenant_context(admin.tenant_id):
            hold_version(principal=admin, version_id=versions["2.0.0"].id, reason="abuse report")
    else:
        # As if it had gone by another way than the services, which do not let a version with traffic go.
        with inside():
            ModelVersion.objects.filter(pk=versions["2.0.0"].pk).update(state=state)
    with tenant_context(admin.tenant_id), pytest.raises(Conflict, match="only a ready version"):
        rollout_services.promote(principal=admin, rollout_id=canary.id)
    assert split() == {"1.0.0": 80, "2.0.0": 20}, "nothing is half done"
    with tenant_context(admin.tenant_id):
        rollout_services.roll_back_rollout(principal=admin, rollout_id=canary.id, reason="gone")
    assert split() == {"1.0.0": 100}


@pytest.mark.django_db
def test_of_competing_versions_one_that_is_gone_or_unknown_does_not_win(admin, endpoint, versions, split):
    with tenant_context(admin.tenant_id):
        bandit = start_bandit(principal=admin, endpoint_id=endpoint.id, versions=["2.0.0", "3.0.0"])
        hold_version(principal=admin, version_id=versions["3.0.0"].id, reason="abuse report")
        before = split()
        with pytest.raises(Conflict, match="only a ready version"):
            rollout_services.promote(principal=admin, rollout_id=bandit.id, version="3.0.0")
        for version in ("", "9.9.9"):
            with pytest.raises(InvalidInput, match="which version wins"):
                rollout_services.promote(principal=admin, rollout_id=bandit.id, version=version)
        assert split() == before
        assert (
            rollout_services.promote(principal=admin, rollout_id=bandit.id, version="2.0.0").state
            == "promoted"
        )


@pytest.mark.django_db
@pytest.mark.parametrize("jump", [timedelta(hours=-3), timedelta(hours=3)], ids=["back", "ahead"])
def test_a_clock_that_jumps_between_two_looks_decides_nothing(
    jump, canary, traffic, inside, split, monkeypatch
):
    """Back: looks wait until the time has come again. Ahead: too little was seen, and a person is asked at the most."""
    traffic("1.0.0", 40)
    traffic("2.0.0", 10)
    assert controller.look_at(canary.id)
    with inside():
        before = Rollout.objects.get(pk=canary.pk)
    monkeypatch.setattr(controller, "database_time", lambda: database_time() + jump)
    controller.control_rollouts()
    with inside():
        after = Rollout.objects.get(pk=canary.pk)
        times = list(RolloutLook.objects.order_by("number").values_list("at", flat=True))
    assert after.looked_at >= before.looked_at
    assert times == sorted(times)
    assert after.state == ("running" if jump < timedelta(0) else "holding")
    assert split() == {"1.0.0": 80, "2.0.0": 20}
