"""The pages of routing rules and of versions that compete: no JSON, each mistake beside its field, all reversible."""

from __future__ import annotations

import pytest
from django.db import transaction

from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.rollouts import services
from inference.rollouts.models import Endpoint, Rollout, SplitChange
from inference.rollouts.routing_rules import set_routing
from tests.factories.inference import adding_model, make_endpoint, make_version
from tests.site.pages.test_frame import assert_strict

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]

BETA = {
    "of": "cohorts",
    "do": "put",
    "name": "beta",
    "version": "2.0.0",
    "members": "client-1\n\n client-2 \nclient-1",
}
COMPETE = {
    "versions": ["2.0.0", "3.0.0"], "policy": "ucb1", "reward": "task_completed", "floor": "3", "cap": "60",
    "holdout": "12", "gamma_per_hour": "99", "error_tolerance": "0.5", "reason": "which is best?",
}  # fmt: skip


@pytest.fixture
def admin(org, sign_in):
    return sign_in(org, Role.TENANT_ADMIN)


@pytest.fixture
def endpoint(admin):
    first = make_version(admin.principal)
    for number in (2.0, 3.0):
        make_version(admin.principal, version=f"{number:.0f}.0.0", artifact=adding_model(number))
    return make_endpoint(admin.principal, first)


@pytest.fixture
def spread(admin, endpoint):
    """With two versions behind it that have no traffic of their own."""
    with tenant_context(endpoint.tenant_id):
        weights = {"1.0.0": 100, "2.0.0": 0, "3.0.0": 0}
        services.set_split(principal=admin.principal, endpoint_id=endpoint.id, weights=weights)
    return endpoint


def rules(endpoint):
    with tenant_context(endpoint.tenant_id), transaction.atomic():
        return Endpoint.objects.get(pk=endpoint.pk).routing


def test_rules_are_added_changed_and_removed_without_json_and_taken_back(admin, spread):
    address = f"/console/endpoints/{spread.id}/routing/"
    page = admin.client.get(address)
    assert_strict(page)
    assert "nobody has a version of their own" in page.content.decode()
    assert admin.client.post(address, BETA).status_code == 302
    shadow = {"of": "shadows", "do": "put", "version": "3.0.0", "percent": "10", "reason": "compare"}
    assert admin.client.post(address, shadow).status_code == 302
    cohort = {"name": "beta", "version": "2.0.0", "members": ["client-1", "client-2"]}
    assert rules(spread) == {"cohorts": [cohort], "shadows": [{"version": "3.0.0", "percent": 10}]}
    page = admin.client.get(address)
    assert_strict(page)
    text = page.content.decode()
    assert "X-OpenClaw-Cohort: beta</code> is answered by <b>2.0.0</b>" in text
    assert "2 listed callers and sessions" in text
    assert "computes 10 % of the requests" in text
    changed = BETA | {"was": "beta", "name": "gamma", "version": "3.0.0", "members": ""}
    assert admin.client.post(address, changed).status_code == 302
    assert rules(spread)["cohorts"] == [{"name": "gamma", "version": "3.0.0", "members": []}]
    assert admin.client.post(address, {"of": "shadows", "do": "drop", "was": "3.0.0"}).status_code == 302
    assert rules(spread)["shadows"] == []
    endpoint_page = admin.client.get(f"/console/endpoints/{spread.id}/")
    assert_strict(endpoint_page)
    assert "rule for “3.0.0” removed" in endpoint_page.content.decode()
    assert "Change the rules" in endpoint_page.content.decode()
    undo = {"change": str(endpoint_page.context["last_change"].id)}
    assert admin.client.post(f"/console/endpoints/{spread.id}/roll-back/", undo).status_code == 302
    assert rules(spread)["shadows"] == [{"version": "3.0.0", "percent": 10}]
    with tenant_context(spread.tenant_id), transaction.atomic():
        kinds = list(SplitChange.objects.order_by("id").values_list("kind", flat=True))
    assert kinds == ["create", "set", *["routing"] * 4, "roll_back"]


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"name": "Not A Name"}, "name", "no name for a cohort"),
        ({"name": ""}, "name", "required"),
        ({"version": "9.9.9"}, "version", "valid choice"),
        ({"members": "x" * 129}, "members", "up to 128 characters"),
        ({"members": "taken"}, "members", "in one cohort only"),
        ({"of": "shadows", "version": "2.0.0", "percent": "0"}, "percent", "whole percent"),
        ({"of": "shadows", "version": "3.0.0", "percent": "7"}, "version", "different shadow"),
    ],
)
def test_a_mistake_stands_beside_its_field(admin, spread, change, field, said):
    with tenant_context(spread.tenant_id):
        set_routing(
            principal=admin.principal,
            endpoint_id=spread.id,
            cohorts=[{"name": "old", "version": "3.0.0", "members": ["taken"]}],
            shadows=[{"version": "3.0.0", "percent": 5}],
        )
    before = rules(spread)
    answer = admin.client.post(f"/console/endpoints/{spread.id}/routing/", BETA | change)
    assert answer.status_code == 400
    form = answer.context[f"new_{change.get('of', 'cohorts')}"]
    assert said in " ".join(form.errors[field])
    assert answer.content.count(b'aria-invalid="true"') == 1
    assert rules(spread) == before


def test_a_changed_rule_keeps_its_mistake_in_its_own_form(admin, spread):
    address = f"/console/endpoints/{spread.id}/routing/"
    for name in ("one", "two"):
        admin.client.post(address, BETA | {"name": name, "members": name})
    answer = admin.client.post(address, BETA | {"was": "one", "name": "two", "members": ""})
    assert answer.status_code == 400
    first, second = answer.context["cohorts"]
    assert (first["open"], second["open"]) == (True, False)
    assert "stands there twice" in " ".join(first["form"].errors["name"])
    assert first["form"].non_field_errors() == []
    assert b'<details class="more gap-top" open>' in answer.content


def test_a_rule_whose_version_is_gone_bars_no_change_of_the_others(admin, spread):
    cohorts = [{"name": name, "version": "2.0.0", "members": []} for name in ("one", "two")]
    with tenant_context(spread.tenant_id):
        set_routing(
            principal=admin.principal,
            endpoint_id=spread.id,
            cohorts=cohorts,
            shadows=[{"version": "3.0.0", "percent": 5}],
        )
        services.set_split(principal=admin.principal, endpoint_id=spread.id, weights={"1.0.0": 100})
    address = f"/console/endpoints/{spread.id}/routing/"
    page = admin.client.get(address).content.decode()
    assert page.count("says nothing at present") == 3
    assert "Add one with 0 percent first" in page
    assert admin.client.post(address, {"of": "cohorts", "do": "drop", "was": "one"}).status_code == 302
    assert [cohort["name"] for cohort in rules(spread)["cohorts"]] == ["two"]
    fresh = admin.client.post(address, BETA)
    assert fresh.status_code == 400


def test_only_who_may_move_traffic_sees_and_uses_the_pages(admin, spread, org, other_org, sign_in):
    developer = sign_in(org, Role.DEVELOPER).client
    stranger = sign_in(other_org, Role.TENANT_ADMIN).client
    assert b"Change the rules" not in developer.get(f"/console/endpoints/{spread.id}/").content
    for page, form in (("routing", BETA), ("compete", COMPETE)):
        address = f"/console/endpoints/{spread.id}/{page}/"
        assert developer.get(address).status_code == developer.post(address, form).status_code == 403
        assert stranger.get(address).status_code == stranger.post(address, form).status_code == 404
    nonsense = admin.client.post(f"/console/endpoints/{spread.id}/routing/", {"of": "dreams", "do": "put"})
    assert nonsense.status_code == 400
    assert rules(spread) == {}


def test_versions_compete_from_a_form(admin, endpoint):
    address = f"/console/endpoints/{endpoint.id}/compete/"
    page = admin.client.get(address)
    assert_strict(page)
    assert "1.0.0 keeps the rest" in page.content.decode()
    shown = page.context["form"]
    assert [shown[name].value() for name in ("floor", "cap", "holdout", "gamma_per_hour")] == [
        "2",
        "100",
        "10",
        "100",
    ]
    for change, field, said in (
        ({"floor": "51"}, "floor", "50"),
        ({"floor": "40"}, "floor", "no whole split"),
        ({"holdout": "101"}, "holdout", "100"),
        ({"policy": "magic"}, "policy", "valid choice"),
        ({"versions": []}, "versions", "required"),
        ({"versions": ["1.0.0"]}, "versions", "valid choice"),
    ):
        answer = admin.client.post(address, COMPETE | change)
        assert answer.status_code == 400, change
        assert said in " ".join(answer.context["form"].errors[field]), change
    started = admin.client.post(address, COMPETE)
    assert started.status_code == 302
    with tenant_context(endpoint.tenant_id), transaction.atomic():
        rollout = Rollout.objects.get()
    assert rollout.kind == "bandit"
    wanted = {
        "versions": ["1.0.0", "2.0.0", "3.0.0"], "policy": "ucb1", "reward": "task_completed", "floor": 3,
        "cap": 60, "holdout": 0.12, "gamma_per_hour": 0.99, "error_tolerance": 0.005,
    }  # fmt: skip
    assert {name: rollout.plan[name] for name in wanted} == wanted
    assert_strict(admin.client.get(started.headers["Location"]))
    assert admin.client.post(address, COMPETE).status_code == 409
