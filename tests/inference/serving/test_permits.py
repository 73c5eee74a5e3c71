"""Loading and unloading by hand asks the decision point, and leaves a record of what was done and what was refused."""

from __future__ import annotations

import pytest
from django.db import transaction

from governance.audit.models import AuditEntry
from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.rollouts.selectors import endpoint_snapshot
from inference.serving.errors import ProtocolError
from inference.serving.permitting import _decide_and_record
from tests.factories.inference import make_endpoint, make_version

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def endpoint(org, principal_for):
    admin = principal_for(org, Role.TENANT_ADMIN)
    make_endpoint(admin, make_version(admin))
    return endpoint_snapshot(org.id, "adder")


def recorded(org, action):
    """The decisions in the audit log about this action, with the endpoint that each is about."""
    with tenant_context(org.id), transaction.atomic():
        return list(AuditEntry.objects.filter(action=action).values_list("decision", "target_id"))


@pytest.mark.parametrize("action", ["load", "unload"])
@pytest.mark.parametrize("role", [Role.TENANT_ADMIN, Role.DATA_SCIENTIST])
def test_who_keeps_endpoints_may(org, principal_for, endpoint, role, action):
    _decide_and_record(principal_for(org, role), endpoint, action)
    assert recorded(org, f"serving.model.{action}") == [("allow", str(endpoint.id))]


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.SERVICE, Role.REVIEWER])
def test_everybody_else_may_not(org, principal_for, endpoint, role):
    with pytest.raises(ProtocolError, match="you may not unload") as caught:
        _decide_and_record(principal_for(org, role), endpoint, "unload")
    assert caught.value.status == 403
    assert recorded(org, "serving.model.unload") == [("deny", str(endpoint.id))]


def test_another_tenants_administrator_may_not(other_org, principal_for, endpoint):
    with pytest.raises(ProtocolError):
        _decide_and_record(principal_for(other_org, Role.TENANT_ADMIN), endpoint, "load")
