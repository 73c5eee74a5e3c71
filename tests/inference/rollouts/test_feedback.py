"""Feedback by decision: late, corrected, repeated, contradictory, and about what is not one's own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.test import Client

from governance.errors import InvalidInput
from governance.ids import uuid7
from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.rollouts.feedback import MAX_ITEMS, Item, give_feedback
from inference.rollouts.lifecycle import database_time
from inference.rollouts.metrics import RolloutCollector
from inference.rollouts.models import Feedback
from inference.rollouts.services import drop_old_outcomes
from inference.rollouts.spans import Span
from inference.rollouts.windows import arm_windows
from tests.factories.governance import bearer_token, make_application

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]


def tell(principal, *items):
    with tenant_context(principal.tenant_id):
        return [
            (receipt.status, receipt.retry) for receipt in give_feedback(principal=principal, items=items)
        ]


def counted(endpoint, versions):
    now = database_time()
    span = Span(endpoint.id, now - timedelta(hours=1), now)
    ids = [versions["1.0.0"].id, versions["2.0.0"].id]
    with tenant_context(endpoint.tenant_id):
        found = arm_windows(span, ids, thresholds={}, feedback=True)
    return [found[version_id] for version_id in ids]


def test_the_newest_value_counts_and_the_history_stays(admin, endpoint, versions, traffic, inside):
    first, second = traffic("1.0.0", 2, predicted="7", confidence=0.9)
    (other,) = traffic("2.0.0", 1, predicted="3")
    (shadow,) = traffic("2.0.0", 1, chosen="shadow")
    assert tell(
        admin,
        Item(first.id, "a", {"label": "7", "satisfaction": 4.0}),
        Item(second.id, "b", {"label": "8", "task_completed": 1.0, "cost": 0.25}),
        Item(other.id, "c", {"label": "3"}),
        Item(shadow.id, "d", {"label": "3"}),
    ) == [("accepted", False)] * 3 + [("unknown", True)]
    stable, canary = counted(endpoint, versions)
    assert (stable.metric("accuracy").hits, stable.metric("accuracy").count) == (1, 2)
    assert stable.metric("satisfaction").total == 4
    assert (stable.metric("task_completed").count, stable.metric("cost").squares) == (1, 0.0625)
    assert canary.metric("accuracy").value == 1
    assert tell(admin, Item(first.id, "a", {"label": "7", "satisfaction": 4.0})) == [("repeated", False)]
    assert tell(admin, Item(first.id, "a", {"label": "1", "satisfaction": 4.0})) == [("conflict", False)]
    assert tell(admin, Item(second.id, "a", {"label": "7", "satisfaction": 4.0})) == [("conflict", False)]
    assert tell(admin, Item(first.id, "e", {"label": "1"})) == [("accepted", False)]
    assert counted(endpoint, versions)[0].metric("accuracy").hits == 0
    with inside():
        assert Feedback.objects.filter(decision_id=first.id, kind="label").count() == 2
        with pytest.raises(DatabaseError, match="append-only"):
            Feedback.objects.update(text="9")


def test_what_is_not_there_and_what_is_not_ones_own_look_the_same(
    admin, endpoint, traffic, org, other_org, principal_for, inside
):
    (known,) = traffic("1.0.0", 1)
    (old,) = traffic("1.0.0", 1, at=database_time() - timedelta(days=3))
    stranger = principal_for(other_org, Role.TENANT_ADMIN)
    partner = principal_for(org, Role.SERVICE)
    for who in (stranger, partner):
        assert tell(who, Item(known.id, "a", {"reward": 1.0})) == [("unknown", True)]
        assert tell(who, Item(uuid7(), "b", {"reward": 1.0})) == [("unknown", True)]
    assert tell(admin, Item(old.id, "late", {"reward": 1.0})) == [("accepted", False)]
    with inside():
        assert Feedback.objects.count() == 1


def test_a_batch_that_contradicts_itself_is_refused_whole(admin, endpoint, traffic, inside):
    (one, two) = traffic("1.0.0", 2)
    batches = [
        [Item(one.id, "a", {"label": "1"}), Item(one.id, "b", {"label": "2"})],
        [Item(one.id, "a", {"reward": 1.0}), Item(two.id, "a", {"reward": 1.0})],
        [
            Item(two.id, "x", {"reward": 1.0}),
            Item(one.id, "a", {"cost": 1.0, "reward": 0.0}),
            Item(one.id, "b", {"reward": 1.0}),
        ],
    ]
    for batch in batches:
        with pytest.raises(InvalidInput, match="contradicts itself") as refused:
            tell(admin, *batch)
        assert refused.value.errors[0]["pointer"].startswith(f"/items/{len(batch) - 1}/")
    same = [
        Item(one.id, "a", {"label": "1"}),
        Item(one.id, "a", {"label": "1"}),
        Item(one.id, "b", {"label": "1"}),
    ]
    assert [status for status, _retry in tell(admin, *same)] == ["accepted"] * 3
    with pytest.raises(InvalidInput, match="1 to 1000"):
        tell(admin, *[Item(one.id, str(n), {"reward": 1.0}) for n in range(MAX_ITEMS + 1)])
    with inside():
        assert Feedback.objects.count() == 2


def test_over_rest_with_the_clients_own_right(endpoint, org, admin, traffic):
    from inference.rollouts import services

    application, secret = make_application(org, scopes=["models:infer"])
    headers = {"Authorization": f"Bearer {bearer_token(application, secret)}"}
    (known,) = traffic("1.0.0", 1, predicted="1")
    client = Client()

    def send(*items):
        return client.post(
            "/api/v1/feedback/", {"items": items}, content_type="application/json", headers=headers
        )

    item = {"decision_id": str(known.id), "key": "k-1", "label": "1", "task_completed": True}
    assert send(item).json()[0]["status"] == "unknown"
    with tenant_context(org.id):
        services.grant_invoke(principal=admin, endpoint_id=endpoint.id, application_id=application.id)
    answer = send(item)
    assert (answer.status_code, answer.json()[0]["status"]) == (200, "accepted"), answer.content
    assert send(item).json()[0]["status"] == "repeated"
    wrong = [
        {"decision_id": "x", "key": "k", "label": "1"},
        {"decision_id": str(known.id), "key": "k"},
        {"decision_id": str(known.id), "key": "k k", "label": "1"},
        {"decision_id": str(known.id), "key": "k", "reward": 2},
        {"decision_id": str(known.id), "key": "k", "reward": "NaN"},
        {"decision_id": str(known.id), "key": "k", "satisfaction": 6},
        {"decision_id": str(known.id), "key": "k", "cost": -1},
        {"decision_id": str(known.id), "key": "k", "label": "a\0b"},
        {"decision_id": str(known.id), "key": "k", "label": "x" * 65},
    ]
    for one in wrong:
        refused = send(one)
        assert (refused.status_code, refused["Content-Type"]) == (400, "application/problem+json"), one
    assert send().status_code == 400
    assert client.post("/api/v1/feedback/", {}, content_type="application/json").status_code == 401


def test_what_came_back_says_how_good_each_version_is(admin, endpoint, org, versions, traffic):
    good, bad = traffic("1.0.0", 40, predicted="1", confidence=0.9), traffic("2.0.0", 40, predicted="1")
    (seen,) = traffic("3.0.0", 1, predicted="2", chosen="shadow", mirror_of=good[0].id)
    items = [
        Item(row.id, f"g{n}", {"label": "1" if n % 10 else "2", "reward": 1.0}) for n, row in enumerate(good)
    ]
    items += [
        Item(row.id, f"b{n}", {"label": "12"[n % 2], "reward": 0.0, "task_completed": float(n % 2)})
        for n, row in enumerate(bad)
    ]
    assert {status for status, _retry in tell(admin, *items)} == {"accepted"}
    application, secret = make_application(org, scopes=["models:read"], role=Role.DEVELOPER)
    headers = {"Authorization": f"Bearer {bearer_token(application, secret)}"}
    answer = Client().get(f"/api/v1/endpoints/{endpoint.id}/quality/?days=2", headers=headers)
    assert answer.status_code == 200
    stable, canary, shadow = (
        next(row for row in answer.json() if row["version_id"] == str(versions[number].id))
        for number in ("1.0.0", "2.0.0", "3.0.0")
    )
    assert (stable["labelled"], stable["accuracy"]["value"]) == (40, 0.9)
    assert stable["accuracy"]["low"] < 0.9 < stable["accuracy"]["high"]
    assert canary["accuracy"]["value"] == 0.5
    assert {figures["name"]: figures["support"] for figures in canary["classes"]} == {"1": 20, "2": 20}
    assert canary["macro"]["recall"]["value"] == 0.5
    assert stable["calibration_error"]["value"] == pytest.approx(0.0, abs=1e-6)
    assert canary["calibration_error"] is None
    assert {event["kind"]: event["mean"]["value"] for event in canary["events"]} == {
        "reward": 0.0,
        "task_completed": 0.5,
    }
    assert (shadow["labelled"], shadow["accuracy"]["value"], seen.chosen) == (1, 1.0, "shadow")
    series = {
        (family.name, sample.labels.get("version"), sample.labels.get("kind", sample.labels.get("figure"))): (
            sample.value
        )
        for family in RolloutCollector().collect()
        for sample in family.samples
    }
    assert series["openclaw_feedback_mean", "1.0.0", "label"] == 0.9
    assert series["openclaw_feedback_count", "2.0.0", "task_completed"] == 40
    shown = {
        name: series["openclaw_prediction_quality", "1.0.0", name] for name in ("accuracy", "recall", "f1")
    }
    assert shown["accuracy"] == 0.9
    assert shown["recall"] == pytest.approx(stable["macro"]["recall"]["value"])
    assert shown["f1"] == pytest.approx(stable["macro"]["f1"]["value"])
    assert series["openclaw_rollout_oldest_look_seconds", None, None] == 0


def test_feedback_goes_with_its_age_and_with_the_person_it_is_about(admin, endpoint, traffic, inside, org):
    from governance.refs import ObjectRef
    from inference.rollouts.cataloguing import OUTCOMES, _erase_outcomes, _outcomes_of

    (known,) = traffic("1.0.0", 1)
    tell(admin, Item(known.id, "a", {"reward": 1.0}))
    with inside():
        assert list(_outcomes_of("client", org.id))
        handled = _erase_outcomes(ObjectRef(OUTCOMES, "client"), org.id)
        assert "2 records" in handled.reason
        assert not Feedback.objects.exists()
        Feedback.objects.create(
            tenant=org, decision_id=known.id, endpoint=endpoint, kind="reward", number=1, key="b",
            sender_id="s", at=database_time() - timedelta(days=31),
        )  # fmt: skip
    assert drop_old_outcomes() == 1
