"""Experiments on real rows: stopped where they do harm, ended by evidence, reversible whoever comes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, InvalidInput, NotFound
from governance.oversight import tasking
from governance.oversight.models import OversightTask
from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from inference.registry.services import hold_version
from inference.rollouts import controller, rollout_services
from inference.rollouts.analysis.experiment_evidence import ExperimentJudgement
from inference.rollouts.experiment_rollouts import start_experiment, stop_arms
from inference.rollouts.models import Rollout, RolloutLook, SplitChange

pytestmark = pytest.mark.django_db

SHARES = {"1.0.0": 40, "2.0.0": 30, "3.0.0": 30}
PLAN = {
    "shares": SHARES,
    "metric": "error_rate",
    "effect": 0.05,
    "guardrails": [{"metric": "refused", "tolerance": 0.05, "evidence": "samples"}],
    "min_s": 10,
    "max_s": 3600,
    "look_every_s": 1,
}


@pytest.fixture
def start(admin, endpoint):
    def begin(who=admin, **plan):
        with tenant_context(admin.tenant_id):
            return start_experiment(
                principal=who, endpoint_id=endpoint.id, plan=PLAN | plan, reason="which one"
            )

    return begin


@pytest.fixture
def drawn(traffic):
    """Answers as the split would have drawn them, `counts` of each version; errors by version."""

    def write(counts, shares=SHARES, errors=None, **more):
        rows = {}
        for version, count in counts.items():
            chance = (errors or {}).get(version, 0.0)
            rows[version] = traffic(version, count, errors=chance, propensity=shares[version] / 100, **more)
        return rows

    return write


def age(rollout, seconds=30):
    """As if the experiment had begun so much earlier and the next look were due."""
    with platform_scope(), transaction.atomic():
        back = timedelta(seconds=seconds)
        Rollout.objects.filter(pk=rollout.pk).update(
            started_at=F("started_at") - back, step_started_at=F("step_started_at") - back, looked_at=None
        )


def look(rollout, seconds=30):
    """Time passes, and the controller comes by; the rollout as it is then, and the newest look."""
    age(rollout, seconds)
    controller.control_rollouts()
    with platform_scope(), transaction.atomic():
        return Rollout.objects.get(pk=rollout.pk), RolloutLook.objects.filter(rollout=rollout).first()


@pytest.fixture
def settled(monkeypatch):
    """Changes are in force at once, and the look comes after all rows of the test."""
    from inference.rollouts import experiment_windows

    monkeypatch.setattr(experiment_windows, "SETTLE", timedelta(0))


@pytest.mark.usefixtures("settled")
def test_the_winner_is_promoted_where_the_plan_says_so(start, drawn, split, inside):
    made = start(end="promote")
    assert split() == SHARES
    drawn({"1.0.0": 400, "2.0.0": 300, "3.0.0": 300}, errors={"1.0.0": 0.4, "2.0.0": 0.4, "3.0.0": 0.02})
    rollout, last = look(made)
    judged = ExperimentJudgement.from_json(last.judgement["experiment"])
    assert (rollout.state, last.verdict, last.action, judged.leader) == (
        "promoted", "promote", "promote", "3.0.0",
    )  # fmt: skip
    assert split() == {"1.0.0": 0, "2.0.0": 0, "3.0.0": 100}
    assert "3.0.0 wins" in rollout.ended_reason
    assert judged.arm("3.0.0").interval.high < 0
    assert [arm.requests for arm in judged.arms] == [400, 300, 300]
    assert judged.level == pytest.approx(0.025)
    with inside():
        changes = list(
            SplitChange.objects.filter(rollout=made).order_by("id").values_list("after", flat=True)
        )
        assert changes[0] == SHARES
        steps = AuditEntry.objects.filter(action__startswith="rollouts.rollout").order_by("sequence")
        assert [entry.action.rpartition(".")[2] for entry in steps] == ["start", "promote"]


@pytest.mark.usefixtures("settled")
def test_a_person_is_asked_by_default_and_what_is_answered_is_done(
    start, drawn, split, inside, org, principal_for
):
    made = start()
    drawn({"1.0.0": 400, "2.0.0": 300, "3.0.0": 300}, errors={"1.0.0": 0.4, "2.0.0": 0.4, "3.0.0": 0.02})
    rollout, last = look(made)
    assert (rollout.state, last.verdict, last.action) == ("holding", "promote", "ask")
    assert split() == SHARES, "nothing moves until somebody has answered"
    with inside():
        task = OversightTask.objects.get(state="open")
        assert task.options == ["promote 1.0.0", "promote 2.0.0", "promote 3.0.0", "go on", "roll back"]
        assert "3.0.0 wins" in task.facts["why a person is asked"]
        somebody = principal_for(org, Role.TENANT_ADMIN)
        tasking.decide_task(principal=somebody, task_id=task.id, answer="promote 3.0.0", reason="agreed")
    controller.control_rollouts()
    assert split() == {"1.0.0": 0, "2.0.0": 0, "3.0.0": 100}


@pytest.mark.usefixtures("settled")
def test_a_treatment_that_does_harm_stops_and_its_share_goes_to_the_control(start, drawn, split, traffic):
    made = start()
    drawn({"1.0.0": 400, "2.0.0": 300, "3.0.0": 300})
    drawn({"2.0.0": 100}, errors={"2.0.0": 1.0}, chosen="sticky")
    rollout, last = look(made)
    assert (rollout.state, last.action) == ("running", "weigh")
    assert split() == {"1.0.0": 70, "2.0.0": 0, "3.0.0": 30}
    assert "2.0.0 is stopped: it is shown worse than the control" in last.reason
    # From now on the control has 70 percent: 40 of those 70 count, so that all arms stem from the same hours alike.
    shares = {"1.0.0": 70, "3.0.0": 30}
    drawn({"1.0.0": 700, "3.0.0": 300}, shares)
    rollout, last = look(made)
    judged = ExperimentJudgement.from_json(last.judgement["experiment"])
    assert judged.arm("3.0.0").requests == 600
    assert 740 < judged.arm("1.0.0").requests < 860
    assert list(judged.stopped) == ["2.0.0"]
    assert judged.drawn.counts == {"1.0.0": 1100, "2.0.0": 300, "3.0.0": 600}
    assert judged.drawn.expected == {"1.0.0": 1100, "2.0.0": 300, "3.0.0": 600}


@pytest.mark.usefixtures("settled")
def test_only_what_the_planned_split_has_drawn_counts(start, drawn, traffic):
    made = start()
    drawn({"1.0.0": 40, "2.0.0": 30, "3.0.0": 30})
    # One arm was being loaded, so the others answered for it.
    traffic("1.0.0", 100, propensity=4 / 7)
    traffic("2.0.0", 100, propensity=1.0, chosen="named")
    traffic("2.0.0", 10, propensity=0.3, chosen="sticky")
    _rollout, last = look(made)
    judged = ExperimentJudgement.from_json(last.judgement["experiment"])
    assert [arm.requests for arm in judged.arms] == [40, 40, 30]
    assert judged.drawn.counts == {"1.0.0": 40, "2.0.0": 30, "3.0.0": 30}


@pytest.mark.usefixtures("settled")
def test_a_mismatch_of_the_draw_ends_everything(start, drawn, split):
    made = start()
    drawn({"1.0.0": 400, "2.0.0": 180, "3.0.0": 300}, errors={"1.0.0": 0.4, "3.0.0": 0.0})
    rollout, last = look(made)
    assert (rollout.state, last.action, split()) == ("rolled_back", "roll_back", {"1.0.0": 100})
    assert "did not get the requests that their shares promise" in rollout.ended_reason


@pytest.mark.usefixtures("settled")
def test_what_may_not_answer_or_answers_nothing_is_stopped(start, drawn, split, traffic, admin, versions):
    made = start()
    with tenant_context(admin.tenant_id):
        hold_version(principal=admin, version_id=versions["2.0.0"].id, reason="report")
    rollout, last = look(made, seconds=0)
    assert split()["1.0.0"] == 70
    assert "may not answer" in last.reason
    # 3.0.0 cannot be loaded: the control answers everything, drawn from a split of its own alone.
    traffic("1.0.0", 100, propensity=1.0)
    rollout, last = look(made, seconds=90)
    assert (rollout.state, last.action, split()) == ("rolled_back", "roll_back", {"1.0.0": 100})
    assert "cannot be loaded" in rollout.ended_reason


@pytest.mark.usefixtures("settled")
def test_no_treatment_is_better(start, drawn, split, inside):
    made = start(end="promote", effect=0.2)
    drawn({"1.0.0": 800, "2.0.0": 600, "3.0.0": 600}, errors={"1.0.0": 0.05, "2.0.0": 0.05, "3.0.0": 0.05})
    rollout, last = look(made)
    assert (rollout.state, last.verdict, split()) == ("rolled_back", "roll_back", {"1.0.0": 100})
    assert "No treatment can be better" in rollout.ended_reason


@pytest.mark.usefixtures("settled")
def test_after_its_time_a_person_decides_and_it_goes_on_with_what_it_has(start, drawn, split, admin):
    made = start()
    drawn({"1.0.0": 40, "2.0.0": 30, "3.0.0": 30})
    drawn({"2.0.0": 90}, errors={"2.0.0": 1.0}, chosen="sticky")
    drawn({"1.0.0": 100, "3.0.0": 70}, chosen="sticky")
    rollout, last = look(made)
    assert list(last.judgement["experiment"]["arms"][1]["stop"].values()) == ["worse", "error_rate"]
    rollout, last = look(made, seconds=4000)
    assert (rollout.state, last.action) == ("holding", "ask")
    with tenant_context(admin.tenant_id):
        rollout_services.resume(principal=admin, rollout_id=made.id, reason="longer")
    rollout, last = look(made, seconds=60)
    judged = ExperimentJudgement.from_json(last.judgement["experiment"])
    assert rollout.state == "running"
    assert [arm.requests for arm in judged.arms] == [140, 120, 100]
    assert list(judged.stopped) == ["2.0.0"]
    assert split()["2.0.0"] == 0


def test_who_comes_second_or_may_not_is_refused(start, admin, endpoint, other_org, org, principal_for, split):
    with pytest.raises(AccessDenied):
        start(who=principal_for(org, Role.DEVELOPER))
    stranger = principal_for(other_org, Role.TENANT_ADMIN)
    with tenant_context(other_org.id), pytest.raises(NotFound):
        start_experiment(principal=stranger, endpoint_id=endpoint.id, plan=PLAN)
    made = start()
    with pytest.raises(Conflict, match="rollout already"):
        start()
    with tenant_context(other_org.id), pytest.raises(NotFound):
        stop_arms(principal=stranger, rollout_id=made.id, versions=["2.0.0"])
    with tenant_context(admin.tenant_id):
        rollout_services.cancel_rollout(principal=admin, rollout_id=made.id, reason="not now")
    assert split() == {"1.0.0": 100}
    with tenant_context(admin.tenant_id), pytest.raises(Conflict, match="not running"):
        stop_arms(principal=admin, rollout_id=made.id, versions=["2.0.0"])


@pytest.mark.usefixtures("settled")
def test_a_person_stops_a_treatment(start, admin, split):
    made = start()
    with tenant_context(admin.tenant_id):
        stop_arms(principal=admin, rollout_id=made.id, versions=["3.0.0"], reason="complaints")
    assert split() == {"1.0.0": 70, "2.0.0": 30, "3.0.0": 0}
    _rollout, last = look(made)
    assert "3.0.0 is stopped by hand" in last.reason


@pytest.mark.usefixtures("settled")
def test_latency_thresholds_are_fixed_before_anything_counts(start, drawn, traffic):
    made = start(metric="p90", effect=0.1, guardrails=[])
    drawn({"1.0.0": 40, "2.0.0": 30, "3.0.0": 30})
    rollout, last = look(made)
    assert "answered too little" in last.reason
    drawn({"1.0.0": 80, "2.0.0": 60, "3.0.0": 60})
    rollout, last = look(made)
    known = rollout.memory["thresholds"]
    assert 800 <= known["p90"] <= 1_200
    drawn({"1.0.0": 400, "2.0.0": 300})
    drawn({"3.0.0": 300}, slow=1.0)
    rollout, last = look(made)
    judged = ExperimentJudgement.from_json(last.judgement["experiment"])
    assert rollout.memory["thresholds"] == known
    assert judged.arm("3.0.0").value == 1.0
    assert [arm.requests for arm in judged.arms] == [400, 300, 300], "what made the thresholds does not count"
    assert list(judged.stopped) == ["3.0.0"]


@pytest.mark.usefixtures("settled")
def test_an_experiment_without_answers_of_the_control_is_for_a_person_in_the_end(start, split):
    made = start(metric="p90", effect=0.1)
    rollout, _last = look(made)
    assert rollout.state == "running"
    rollout, last = look(made, seconds=4000)
    assert (rollout.state, last.action, split()) == ("holding", "ask", SHARES)


@pytest.mark.usefixtures("settled")
def test_two_that_are_both_better_are_for_a_person_even_where_a_winner_is_promoted(start, drawn, split):
    made = start(end="promote", min_s=4000, max_s=4000)
    drawn({"1.0.0": 400, "2.0.0": 300, "3.0.0": 300}, errors={"1.0.0": 0.5, "2.0.0": 0.1, "3.0.0": 0.1})
    rollout, _last = look(made)
    assert rollout.state == "running", "its least time has not passed"
    rollout, last = look(made, seconds=4000)
    assert (rollout.state, last.verdict, last.action, split()) == ("holding", "inconclusive", "ask", SHARES)
    assert "which one is best is not shown" in last.reason


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"shares": {"1.0.0": 50, "2.0.0": 40}}, "sum to 90"),
        ({"shares": {"2.0.0": 50, "3.0.0": 50}}, "name the control"),
        ({"shares": {"1.0.0": 100}}, "from 1 to 99"),
        ({"shares": {"1.0.0": 60, "2.0.0": 40.0}}, "whole percents"),
        ({"shares": {"1.0.0": 60, "9.0.0": 40}}, "no version 9.0.0"),
        ({"treatments": ["2.0.0"]}, "either"),
        ({"metric": "beauty"}, "is about one of"),
        ({"effect": None}, "which difference matters"),
        ({"effect": 0}, "effect"),
        ({"effect": float("nan")}, "effect"),
        ({"effect": True}, "effect"),
        ({"alpha": 0.5}, "alpha"),
        ({"power": 1}, "power"),
        ({"end": "party"}, "ends in one of"),
        ({"min_samples": 5}, "min_samples"),
        ({"max_s": 5}, "max_s"),
        ({"max_samples": 1.5}, "max_samples"),
        ({"colour": "red"}, "has no"),
        ({"guardrails": [{"metric": "beauty"}]}, "is about one of"),
    ],
)
def test_plans_that_are_refused(start, plan, said, split):
    with pytest.raises(InvalidInput, match=said):
        start(**plan)
    assert split() == {"1.0.0": 100}
