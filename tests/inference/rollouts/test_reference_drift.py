"""Drift against a training reference on real rows: figures, too few values, REST, the page and the gauge."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from django.test import Client

from governance.ids import uuid7
from governance.principals import Role
from inference.rollouts.analysis.profiles import Profile
from inference.rollouts.lifecycle import database_time
from inference.rollouts.metrics import RolloutCollector
from inference.rollouts.models import InputCount
from inference.rollouts.reference_drift import MIN_VALUES, endpoint_drift
from inference.rollouts.selectors import endpoint_snapshot
from inference.rollouts.services import drop_old_outcomes
from tests.inference.rollouts.trained import answers, normal

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

LARGE = 0.25


@pytest.fixture
def browser(org, member):
    made = Client()
    made.force_login(member(org, Role.TENANT_ADMIN), backend="django.contrib.auth.backends.ModelBackend")
    return made


@pytest.fixture
def measured(endpoint, inside):
    def read(hours=24):
        from inference.rollouts.models import Endpoint

        with inside():
            (one,) = endpoint_drift(Endpoint.objects.get(pk=endpoint.pk), hours=hours)
        return {part.name: part for part in one.parts}

    return read


def test_the_same_distribution_is_no_drift_and_a_shifted_one_is_large(reference, inputs, said, measured):
    known = reference()
    inputs(known, normal(600, seed=2))
    said("1.0.0", answers(400, seed=2))
    found = measured()
    assert set(found) == {"x[0]", "x[1]", "x[2]", "drift_prediction", "drift_confidence"}
    assert all(part.enough and part.excess < 0.1 for part in found.values())
    assert all(part.distance.p_value > 0.001 for name, part in found.items() if name != "drift_prediction")
    assert found["drift_prediction"].distance is None
    shifted = normal(1200, seed=3)
    shifted[:, 1] += 2
    inputs(known, shifted)
    said("1.0.0", answers(800, {"cat": 0.1, "dog": 0.1, "yeti": 0.8}, sure=-0.3, seed=3))
    found = measured()
    assert found["x[1]"].excess > LARGE
    assert found["x[1]"].distance.p_value < 1e-9
    assert max(found["x[0]"].excess, found["x[2]"].excess) < 0.1
    assert min(found["drift_prediction"].excess, found["drift_confidence"].excess) > LARGE


def test_only_the_chosen_time_the_split_and_this_revision_count(reference, inputs, said, measured):
    known = reference()
    inputs(known, normal(100))
    inputs(known, normal(300, mean=3), at=database_time() - timedelta(hours=30))
    inputs(known, normal(300, mean=3), revision=uuid7())
    said("1.0.0", answers(50))
    said("1.0.0", answers(50), chosen="named")
    found = measured()
    assert (found["x[0]"].count, found["drift_prediction"].count) == (100, 50)
    assert measured(hours=48)["x[0]"].count == 400


def test_a_confidence_at_an_edge_lies_where_the_reference_counts_it(reference, traffic, measured):
    known = Profile.from_json(reference().profile).confidence
    for edge in known.edges:
        traffic("1.0.0", 1, predicted="cat", confidence=edge)
    assert measured()["drift_confidence"].counts == known.count(np.array(known.edges))


def test_too_few_values_say_so_and_without_any_there_is_no_figure(
    reference, inputs, measured, endpoint, inside
):
    known = reference()
    assert all((part.count, part.drift) == (0, None) for part in measured().values())
    few = normal(MIN_VALUES - 1, mean=4)
    few[0, 0] = np.nan
    inputs(known, few)
    first = measured()["x[0]"]
    assert (first.enough, first.count, first.not_numbers) == (False, MIN_VALUES - 2, 1)
    with inside():
        (one,) = endpoint_drift(endpoint)
    assert one.worst is None


def test_the_hot_route_learns_the_reference_of_its_arms(org, endpoint, reference):
    assert endpoint_snapshot(org.id, endpoint.name).arms[0].reference is None
    known = reference()
    (arm,) = endpoint_snapshot(org.id, endpoint.name).arms
    assert (arm.reference.revision, len(arm.reference.profile.features)) == (known.revision, 3)


def test_the_api_the_page_and_the_gauge_tell_it(reference, inputs, endpoint, browser):
    address = f"/api/v1/endpoints/{endpoint.id}/drift/"
    page = f"/console/endpoints/{endpoint.id}/"
    (bare,) = browser.get(address).json()
    assert (bare["reference"], bare["parts"]) == (None, [])
    assert "No training reference" in browser.get(f"{page}measurements/").content.decode()
    known = reference()
    shifted = normal(600)
    shifted[:, 1] += 3
    inputs(known, shifted)
    (one,) = browser.get(address, {"hours": 2}).json()
    assert (one["version"], one["reference"]["row_count"]) == ("1.0.0", 2000)
    parts = {part["name"]: part for part in one["parts"]}
    assert (parts["x[1]"]["band"], parts["x[1]"]["enough"]) == ("large", True)
    assert parts["x[1]"]["index"] > LARGE > parts["x[0]"]["index"]
    assert (parts["drift_prediction"]["index"], parts["drift_prediction"]["count"]) == (None, 0)
    assert browser.get(address, {"hours": "x"}).status_code == 400
    shown = browser.get(f"{page}measurements/", {"hours": "168"}).content.decode()
    assert all(text in shown for text in ("x[1]", "large", "too few values", "2,000 rows of loans.csv"))
    assert f"{page}drift/?hours=168" in shown
    assert "x[1]" in browser.get(f"{page}drift/").content.decode()
    families = {family.name: family for family in RolloutCollector().collect()}
    (worst,) = families["openclaw_reference_drift_worst"].samples
    assert (worst.labels["endpoint"], worst.labels["version"], worst.value > LARGE) == (
        "adder",
        "1.0.0",
        True,
    )
    assert families["openclaw_reference_drift_values"].samples[0].value == 600


def test_old_counts_go_with_old_outcomes(reference, inputs, inside, settings):
    known = reference()
    inputs(known, normal(10))
    inputs(known, normal(10), at=database_time() - timedelta(days=settings.OUTCOME_RETENTION_DAYS + 1))
    assert drop_old_outcomes() == 1
    with inside():
        assert InputCount.objects.count() == 1
