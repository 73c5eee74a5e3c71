"""An endpoint's latency objective: bounds, rights, the audit log, and what the hot route reads of it."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, InvalidInput, NotFound
from governance.ids import uuid7
from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.rollouts.models import MAX_OBJECTIVE_MS, Endpoint
from inference.rollouts.objectives import set_objective
from inference.rollouts.selectors import endpoint_snapshot

pytestmark = pytest.mark.django_db


def aim(principal, endpoint, ms, **more):
    with tenant_context(principal.tenant_id):
        return set_objective(principal=principal, endpoint_id=endpoint.id, latency_objective_ms=ms, **more)


def test_it_is_set_read_by_the_hot_route_audited_and_taken_back(admin, endpoint, org, inside):
    assert endpoint_snapshot(org.id, "adder").objective_s is None
    aim(admin, endpoint, 50, reason="a person waits")
    aim(admin, endpoint, 50)
    assert endpoint_snapshot(org.id, "adder").objective_s == 0.05
    aim(admin, endpoint, None)
    assert endpoint_snapshot(org.id, "adder").objective_s is None
    with inside():
        entries = AuditEntry.objects.filter(action="rollouts.endpoint.objective").order_by("sequence")
        assert [entry.details for entry in entries] == [
            {"before": None, "after": 50},
            {"before": 50, "after": None},
        ]
        assert entries[0].reason == "a person waits"


@pytest.mark.parametrize("ms", [0, -1, MAX_OBJECTIVE_MS + 1, True, 1.5])
def test_out_of_bounds(admin, endpoint, inside, ms):
    with pytest.raises(InvalidInput, match="whole number of milliseconds from 1 to 600000") as refused:
        aim(admin, endpoint, ms)
    assert refused.value.errors[0]["pointer"] == "/latency_objective_ms"
    with inside():
        assert Endpoint.objects.get().latency_objective_ms is None
        with pytest.raises(IntegrityError), transaction.atomic():
            Endpoint.objects.update(latency_objective_ms=0)


def test_who_may(admin, endpoint, org, other_org, principal_for):
    with pytest.raises(AccessDenied):
        aim(principal_for(org, Role.DEVELOPER), endpoint, 50)
    with pytest.raises(NotFound):
        aim(principal_for(other_org, Role.TENANT_ADMIN), endpoint, 50)
    endpoint.id = uuid7()
    with pytest.raises(NotFound):
        aim(admin, endpoint, 50)


def test_the_command(endpoint, org, capsys):
    call_command("set_latency_objective", tenant=org.slug, endpoint="adder", ms=70)
    assert endpoint_snapshot(org.id, "adder").objective_s == 0.07
    call_command("set_latency_objective", tenant=org.slug, endpoint="adder", common=True)
    assert endpoint_snapshot(org.id, "adder").objective_s is None
    assert capsys.readouterr().out.splitlines() == [
        "Requests to adder may wait for 70 ms.",
        "Requests to adder may wait for 1000 (the installation's) ms.",
    ]
    with pytest.raises(CommandError, match="no endpoint nothing"):
        call_command("set_latency_objective", tenant=org.slug, endpoint="nothing", ms=70)
    with pytest.raises(CommandError, match="whole number"):
        call_command("set_latency_objective", tenant=org.slug, endpoint="adder", ms=0)
