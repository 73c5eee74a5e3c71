"""Cohorts and shadows: validated, audited, reversible, and void for a version that may not answer."""

from __future__ import annotations

import pytest

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, InvalidInput
from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.rollouts import services
from inference.rollouts.models import Endpoint, SplitChange
from inference.rollouts.routing_rules import set_routing
from inference.rollouts.selectors import Cohort, Shadow, endpoint_snapshot
from tests.governance.ethics import steps

pytestmark = pytest.mark.django_db

BETA = {"name": "beta", "version": "2.0.0", "members": ["client-1"]}
SHADOW = {"version": "3.0.0", "percent": 10}


@pytest.fixture
def spread(admin, endpoint):
    """The endpoint with two more versions behind it, without traffic."""
    with tenant_context(admin.tenant_id):
        weights = {"1.0.0": 100, "2.0.0": 0, "3.0.0": 0}
        return services.set_split(principal=admin, endpoint_id=endpoint.id, weights=weights)


def rules(admin, endpoint, cohorts=(), shadows=(), **more):
    with tenant_context(admin.tenant_id):
        return set_routing(
            principal=admin, endpoint_id=endpoint.id, cohorts=list(cohorts), shadows=list(shadows), **more
        )


def test_rules_reach_the_hot_route_and_are_taken_back_like_a_split(admin, spread, org, inside):
    rules(admin, spread, [BETA], [SHADOW], reason="try it")
    snapshot = endpoint_snapshot(org.id, "adder")
    assert snapshot.cohorts == (Cohort("beta", "2.0.0", ("client-1",)),)
    assert snapshot.shadows == (Shadow("3.0.0", 10),)
    rules(admin, spread, [BETA], [SHADOW])
    with inside():
        kinds = list(SplitChange.objects.order_by("id").values_list("kind", flat=True))
        assert kinds == ["create", "set", "routing"]
        assert AuditEntry.objects.get(action="rollouts.endpoint.routing").details["after"]["shadows"] == [
            SHADOW
        ]
        last = services.last_change_in_force(spread)
    with tenant_context(org.id):
        services.roll_back(principal=admin, endpoint_id=spread.id, reason="", expected_change_id=last.id)
        assert endpoint_snapshot(org.id, "adder").cohorts == ()
        with pytest.raises(Conflict, match="not the last one"):
            services.roll_back(principal=admin, endpoint_id=spread.id, reason="", expected_change_id=last.id)
        services.roll_back(principal=admin, endpoint_id=spread.id, reason="")
    assert [arm.version for arm in endpoint_snapshot(org.id, "adder").arms] == ["1.0.0"]


REFUSED = [
    ([BETA | {"name": "Not A Name"}], [], "no name for a cohort"),
    ([BETA, BETA | {"members": []}], [], "stands there twice"),
    ([BETA | {"version": "9.9.9"}], [], "does not stand behind"),
    ([BETA | {"members": ["x" * 129]}], [], "up to 128 characters"),
    ([BETA | {"members": [str(n) for n in range(201)]}], [], "at most 200"),
    ([BETA, BETA | {"name": "gamma"}], [], "in one cohort only"),
    ([BETA | {"name": f"c-{n}", "members": []} for n in range(21)], [], "at most 20"),
    ([], [SHADOW | {"percent": 0}], "whole percent"),
    ([], [SHADOW | {"percent": True}], "whole percent"),
    ([], [SHADOW, SHADOW], "different shadow"),
    ([], [SHADOW | {"version": "1.0.0"}], "traffic of its own"),
]


def test_rules_that_are_refused(admin, spread, inside):
    for cohorts, shadows, said in REFUSED:
        with pytest.raises(InvalidInput, match=said):
            rules(admin, spread, cohorts, shadows)
    with inside():
        assert Endpoint.objects.get().routing == {}


def test_a_version_without_its_approval_is_given_no_cohort_and_no_shadow(admin, spread, versions, org):
    from governance.refs import ObjectRef

    rules(admin, spread, [], [SHADOW])
    with tenant_context(org.id):
        for number in ("2.0.0", "3.0.0"):
            steps.bind(org.id, ObjectRef.of(versions[number], digest=versions[number].sha256))
    with pytest.raises(AccessDenied):
        rules(admin, spread, [BETA], [])
    snapshot = endpoint_snapshot(org.id, "adder")
    assert snapshot.shadows == (Shadow("3.0.0", 10),)
    assert [arm.version for arm in snapshot.arms] == ["1.0.0"]


def test_who_may(spread, org, principal_for):
    with pytest.raises(AccessDenied):
        rules(principal_for(org, Role.DEVELOPER), spread, [BETA], [])


def test_two_at_once_do_not_lose_each_others_rules(admin, spread):
    seen = {"cohorts": [], "shadows": []}
    rules(admin, spread, [BETA], expected=seen)
    with pytest.raises(Conflict, match="changed since you looked"):
        rules(admin, spread, [], [SHADOW], expected=seen)
    rules(admin, spread, [BETA], [SHADOW], expected={"cohorts": [BETA], "shadows": []})


def test_a_refusal_points_at_its_field(admin, spread):
    with pytest.raises(InvalidInput) as refused:
        rules(admin, spread, [BETA, BETA | {"name": "gamma"}])
    assert refused.value.errors == [
        {"pointer": "/cohorts/1/members", "detail": "A caller or session can be in one cohort only."}
    ]
