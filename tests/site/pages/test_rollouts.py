"""The pages of rollouts: started from a form, explained in words, decided by a person who is told of a quicker one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F

from governance.ids import uuid7
from governance.principals import Role
from governance.tenants.context import platform_scope
from inference.rollouts.charts import ribbon
from tests.factories.inference import adding_model, make_endpoint, make_version
from tests.site.pages.test_frame import assert_strict

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

FORM = {
    "version": "2.0.0", "kind": "canary", "percents": "20, 50", "hold_minutes": "0", "errors": "5", "slow": "5",
    "reason": "faster",
}  # fmt: skip


@pytest.fixture
def admin(org, sign_in):
    return sign_in(org, Role.TENANT_ADMIN)


@pytest.fixture
def versions(admin):
    second = adding_model(2.0)
    return [make_version(admin.principal), make_version(admin.principal, version="2.0.0", artifact=second)]


@pytest.fixture
def endpoint(admin, versions):
    return make_endpoint(admin.principal, versions[0])


def answers(endpoint, version, count, *, failed=0, ago_s=0):
    from inference.rollouts.lifecycle import database_time
    from inference.rollouts.models import OutcomeRecord

    with platform_scope(), transaction.atomic():
        moment = database_time() - timedelta(seconds=ago_s)
        OutcomeRecord.objects.bulk_create(
            OutcomeRecord(
                id=uuid7(), tenant_id=endpoint.tenant_id, endpoint=endpoint, model_version=version,
                at=moment + timedelta(microseconds=n), latency_us=1000 + n % 50,
                status=500 if n < failed else 200, rows=1, bytes_in=10, chosen="split",
            )
            for n in range(count)
        )  # fmt: skip


def look():
    from inference.rollouts.controller import control_rollouts
    from inference.rollouts.models import Rollout

    with platform_scope(), transaction.atomic():
        back = timedelta(seconds=20)
        Rollout.objects.update(step_started_at=F("step_started_at") - back, looked_at=None)
    control_rollouts()


def begin(admin, endpoint, versions, **changes):
    answers(endpoint, versions[0], 200, ago_s=120)
    made = admin.client.post(f"/console/endpoints/{endpoint.id}/rollout/", FORM | changes)
    assert made.status_code == 302, made.content.decode()
    return made.headers["Location"]


def test_a_fault_is_rolled_back_and_its_page_explains_why(admin, endpoint, versions):
    form = admin.client.get(f"/console/endpoints/{endpoint.id}/rollout/")
    assert_strict(form)
    assert 'value="5, 25, 50"' in form.content.decode()
    address = begin(admin, endpoint, versions)
    page = admin.client.get(address)
    assert_strict(page)
    assert "Waiting for the first look." in page.content.decode()
    answers(endpoint, versions[0], 400)
    answers(endpoint, versions[1], 100, failed=40)
    look()
    live = admin.client.get(f"{address}live/?at=running-0-0")
    assert live.headers["HX-Refresh"] == "true"
    page = admin.client.get(address)
    assert_strict(page)
    text = page.content.decode()
    assert "The canary does harm: error rate." in text
    assert "rolled back" in text
    assert page.context["bands"][0].share == 80
    evidence = admin.client.get(f"{address}looks/1/")
    assert_strict(evidence)
    assert "Harm: 0 % of the stable version, 40 % of the canary." in evidence.content.decode()
    assert admin.client.get(f"{address}looks/9/").status_code == 404
    assert "rolled back" in admin.client.get(f"/console/endpoints/{endpoint.id}/").content.decode()


def test_a_person_decides_and_the_second_one_is_told(admin, endpoint, versions, org, sign_in):
    address = begin(admin, endpoint, versions)
    seen = {"state": "running", "step": "0"}
    assert (
        "A rollout moves this split."
        in admin.client.get(f"/console/endpoints/{endpoint.id}/").content.decode()
    )
    developer = sign_in(org, Role.DEVELOPER).client
    assert b"Promote now" not in developer.get(address).content
    assert developer.post(f"{address}act/", seen | {"do": "promote"}).status_code == 403
    assert admin.client.post(f"{address}act/", seen | {"do": "dance"}).status_code == 400
    assert admin.client.post(f"{address}act/", seen | {"do": "promote"}).status_code == 302
    assert admin.client.post(f"{address}act/", seen | {"do": "roll_back"}).status_code == 409
    assert "HX-Refresh" not in admin.client.get(f"{address}live/?at=promoted-0-0").headers


def test_forms_that_are_refused_say_why(admin, endpoint, versions, other_org, sign_in):
    address = f"/console/endpoints/{endpoint.id}/rollout/"
    for change, said in (
        ({"percents": "50, 5"}, "grow"),
        ({"percents": "many"}, "whole percents"),
        ({"hold_minutes": "-1"}, "no number"),
        ({"version": "1.0.0"}, "all traffic already"),
        ({"errors": "0"}, "not possible"),
        ({"kind": "magic"}, "no such kind"),
        ({"watch": "drift_prediction", "drift": "0"}, "not possible"),
    ):
        answer = admin.client.post(address, FORM | change)
        assert answer.status_code == 400, change
        assert said in answer.content.decode()
    stranger = sign_in(other_org, Role.TENANT_ADMIN).client
    assert stranger.get(address).status_code == 404
    started = begin(admin, endpoint, versions)
    for path in ("", "live/", "looks/1/"):
        assert stranger.get(started + path).status_code == 404
    assert stranger.post(f"{started}act/", {"do": "promote"}).status_code == 404
    assert admin.client.post(address, FORM).status_code == 409


def test_predictions_are_watched_where_the_form_says_so(admin, endpoint, versions):
    form = admin.client.get(f"/console/endpoints/{endpoint.id}/rollout/")
    assert 'value="drift_prediction">' in form.content.decode()
    address = begin(admin, endpoint, versions, watch=["drift_confidence", "error_rate"], drift="0,3")
    rollout = admin.client.get(address).context["rollout"]
    watched = {g["metric"]: g["tolerance"] for g in rollout.plan["guardrails"][4:]}
    assert watched == {"drift_confidence": 0.3}
    answers(endpoint, versions[1], 10)
    look()
    page = admin.client.get(address)
    assert_strict(page)
    assert "Distribution of the confidence of the predictions against" in page.content.decode()
    assert "Too few samples" in page.content.decode()


def test_the_endpoint_shows_what_came_back(admin, endpoint, versions):
    from inference.rollouts.lifecycle import database_time
    from inference.rollouts.models import Feedback, OutcomeRecord

    answers(endpoint, versions[0], 4)
    with platform_scope(), transaction.atomic():
        OutcomeRecord.objects.update(predicted="1", confidence=0.8)
        for number, row in enumerate(OutcomeRecord.objects.all()):
            for kind, values in (("label", {"text": "12"[number == 0]}), ("satisfaction", {"number": 4})):
                Feedback.objects.create(
                    tenant_id=row.tenant_id, decision_id=row.id, endpoint=endpoint, kind=kind, key=str(number),
                    sender_id="s", at=database_time(), **values,
                )  # fmt: skip
    page = admin.client.get(f"/console/endpoints/{endpoint.id}/")
    assert_strict(page)
    (row,) = page.context["quality"]
    assert (row.version, row.figures.accuracy.value, row.events[0].mean.value) == ("1.0.0", 0.75, 4)
    assert "0.750" in page.content.decode()
    assert "satisfaction: 4.000" in page.content.decode()


def test_the_ribbon_is_whole_at_every_moment(versions):
    from inference.rollouts.lifecycle import database_time

    now = database_time()
    changes = [
        (now - timedelta(minutes=n), {"1": 100 - share, "2": share}) for n, share in ((9, 0), (6, 5), (3, 50))
    ]
    bands = ribbon(changes, until=now, colours={"1": 0, "2": 1})
    assert [(band.label, band.share) for band in bands] == [
        ("1", 100),
        ("1", 95),
        ("2", 5),
        ("1", 50),
        ("2", 50),
    ]
    assert sum(band.width * band.height for band in bands) == pytest.approx(600 * 100, rel=1e-3)
    assert ribbon([], until=now, colours={}) == []
