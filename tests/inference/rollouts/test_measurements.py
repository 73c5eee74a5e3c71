"""An endpoint's measurements against records whose figures are known, and the estimate of another split."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from governance.errors import InvalidInput
from governance.principals import Role
from inference.rollouts.feedback import Item, give_feedback
from inference.rollouts.lifecycle import database_time
from inference.rollouts.measurement_charts import bar_names, posteriors
from inference.rollouts.measurements import (
    BOUNDS_MS,
    error_budget,
    histograms,
    quality_by_class,
    quality_by_day,
)
from inference.rollouts.policy_estimates import estimate_split
from inference.rollouts.services import set_split

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]


@pytest.fixture
def both(admin, endpoint, versions, inside):
    """The endpoint sends half of its traffic to each of two versions."""
    with inside():
        set_split(principal=admin, endpoint_id=endpoint.id, weights={"1.0.0": 50, "2.0.0": 50}, reason="t")
    return endpoint


@pytest.fixture
def tell(admin, inside):
    def send(records, **values):
        with inside():
            found = give_feedback(
                principal=admin, items=[Item(record.id, str(record.id), dict(values)) for record in records]
            )
        assert {receipt.status for receipt in found} == {"accepted"}

    return send


@pytest.fixture
def browser(org, member):
    made = Client()
    made.force_login(member(org, Role.TENANT_ADMIN), backend="django.contrib.auth.backends.ModelBackend")
    return made


def test_latency_is_counted_in_bars_and_shadows_are_not(both, versions, traffic, inside):
    traffic("1.0.0", 40)  # 0.8 to 1.2 ms
    traffic("2.0.0", 10, slow=1.0)  # 90 ms
    traffic("2.0.0", 30, chosen="shadow")
    traffic("2.0.0", 5, errors=1.0)
    traffic("1.0.0", 7, at=database_time() - timedelta(hours=2))
    with inside():
        found = {one.version_id: one for one in histograms(both.id)}
    assert found[versions["1.0.0"].id].total == 40
    assert sum(found[versions["1.0.0"].id].counts[1:4]) == 40
    slow = found[versions["2.0.0"].id]
    assert slow.total == 10
    assert slow.counts[BOUNDS_MS.index(100.0)] == 10
    assert len(slow.counts) == len(bar_names()) == len(BOUNDS_MS) + 1


def test_the_error_budget_is_what_the_objective_leaves(both, traffic, inside):
    with inside():
        nothing = error_budget(both.id, objective=0.99)
    assert (nothing.requests, nothing.used, nothing.burn_rate) == (0, None, None)
    traffic("1.0.0", 180, at=database_time() - timedelta(days=2))
    traffic("1.0.0", 2, errors=1.0, at=database_time() - timedelta(days=2))
    traffic("2.0.0", 17)
    traffic("2.0.0", 1, errors=1.0)
    traffic("2.0.0", 50, errors=1.0, at=database_time() - timedelta(days=8))
    with inside():
        budget = error_budget(both.id, objective=0.99)
    assert (budget.requests, budget.errors) == (200, 3)
    assert budget.allowed == pytest.approx(2)
    assert budget.used == pytest.approx(1.5)
    assert budget.burn_rate == pytest.approx(1 / 18 / 0.01)


def test_quality_by_day_and_by_class(both, versions, traffic, tell, inside):
    yesterday = database_time() - timedelta(days=1)
    tell(traffic("1.0.0", 8, predicted="cat", at=yesterday), label="cat")
    tell(traffic("1.0.0", 2, predicted="dog", at=yesterday), label="cat")
    tell(traffic("1.0.0", 5, predicted="dog"), label="dog")
    tell(traffic("2.0.0", 4, predicted="dog"), label="cat")
    traffic("2.0.0", 9, predicted="dog")  # nobody said what was right
    first, second = versions["1.0.0"].id, versions["2.0.0"].id
    with inside():
        by_day = {(share.version_id, share.part): share for share in quality_by_day(both.id)}
        by_class = {(share.version_id, share.part): share for share in quality_by_class(both.id)}
    old = by_day[first, str(yesterday.date())]
    assert (old.labelled, old.right, old.accuracy.value) == (10, 8, 0.8)
    # Wilson's interval of 8 in 10 (Newcombe 1998): 0.4902 to 0.9433.
    assert (old.accuracy.interval.low, old.accuracy.interval.high) == pytest.approx(
        (0.4902, 0.9433), abs=1e-3
    )
    assert by_day[second, str(database_time().date())].right == 0
    assert {key: share.right for key, share in by_class.items()} == {
        (first, "cat"): 8,
        (first, "dog"): 5,
        (second, "cat"): 0,
    }


def test_another_split_is_estimated_from_what_the_split_drew(both, traffic, tell, inside):
    for version, good, bad in (("1.0.0", 20, 80), ("2.0.0", 80, 20)):
        tell(traffic(version, good), reward=1.0)
        tell(traffic(version, bad), reward=0.0)
    tell(traffic("2.0.0", 50, chosen="named"), reward=1.0)
    with inside():
        same = estimate_split(both.id, weights={"1.0.0": 50, "2.0.0": 50}, reward="reward")
        all_new = estimate_split(both.id, weights={"1.0.0": 0, "2.0.0": 100}, reward="reward")
    assert same.decisions == 200
    assert same.earned.value == pytest.approx(0.5)
    for value in same.values:
        assert value.value == pytest.approx(0.5)
    assert [value.method for value in all_new.values] == ["ips", "snips", "doubly robust"]
    for value in all_new.values:
        assert value.value == pytest.approx(0.8, abs=1e-9)
        assert value.interval.low < 0.8 < value.interval.high
        assert value.effective_samples <= 100


@pytest.mark.parametrize(
    ("weights", "reward", "says"),
    [
        ({"1.0.0": 50, "3.0.0": 50}, "reward", "3.0.0"),
        ({"1.0.0": 50, "2.0.0": 49}, "reward", "sum to 100"),
        ({"1.0.0": 150, "2.0.0": -50}, "reward", "sum to 100"),
        ({}, "reward", "sum to 100"),
        ({"1.0.0": 100}, "fame", "Choose one of"),
        ({"1.0.0": 100}, "cost", "fewer than two"),
    ],
)
def test_what_cannot_be_estimated_is_said(both, traffic, tell, inside, weights, reward, says):
    tell(traffic("1.0.0", 5), reward=1.0)
    with inside(), pytest.raises(InvalidInput, match=says):
        estimate_split(both.id, weights=weights, reward=reward)


def test_the_page_and_the_api_tell_the_same(both, traffic, tell, browser):
    tell(traffic("1.0.0", 30, predicted="cat"), label="cat")
    tell(traffic("2.0.0", 30, predicted="dog"), label="cat")
    page = reverse("endpoint-measurements", args=[both.id])
    shown = browser.get(page, {"weight-1.0.0": 100, "weight-2.0.0": 0}).content.decode()
    assert "Doubly robust" in shown
    assert "1.000" in shown
    assert browser.get(page, {"weight-1.0.0": "x", "weight-2.0.0": "0"}).status_code == 200
    assert "sum to 100" in browser.get(page, {"weight-1.0.0": "1"}).content.decode()
    address = f"/api/v1/endpoints/{both.id}"
    found = browser.get(f"{address}/measurements/").json()
    assert found["error_budget"]["requests"] == 60
    assert [share["accuracy"]["value"] for share in found["quality_by_class"]] == [1.0, 0.0]
    assert browser.get(f"{address}/measurements/?objective=2").status_code == 400
    body = {"weights": {"1.0.0": 100, "2.0.0": 0}}
    estimate = browser.post(f"{address}/estimate-split/", body, content_type="application/json")
    assert estimate.status_code == 200
    assert [value["value"] for value in estimate.json()["values"]] == pytest.approx([1.0, 1.0, 1.0])
    wrong = browser.post(
        f"{address}/estimate-split/", {"weights": {"9": 100}}, content_type="application/json"
    )
    assert wrong.status_code == 400
    assert "9" in wrong.json()["detail"]


def test_an_endpoint_that_nobody_asked_has_a_page_too(both, browser):
    shown = browser.get(reverse("endpoint-measurements", args=[both.id])).content.decode()
    assert "Nobody asked in the last hour." in shown
    assert "No label came back yet." in shown


def test_posteriors_integrate_to_one_and_the_better_known_stand_higher():
    curves = posteriors(
        {"a": {"successes": 9.0, "failures": 1.0}, "b": {"successes": 90.0, "failures": 10.0}}
    )
    areas = []
    for curve in curves:
        pairs = [tuple(map(float, point.split(","))) for point in curve.points.split()]
        areas.append(sum(120 - y for _x, y in pairs))
        assert 0.8 < max(pairs, key=lambda pair: -pair[1])[0] / 600 < 0.95
    assert areas[0] == pytest.approx(areas[1], rel=0.02)  # one scale: equal areas
