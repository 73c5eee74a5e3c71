"""Work that was admitted before a duty came into force does not run on without it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from django.db import transaction

from governance.access.hub import hub
from governance.audit.models import AuditEntry
from governance.oversight import ruling
from governance.principals import Role
from governance.refs import ObjectRef
from governance.tenants.checkpoints import Cause, Revoked, checkpoint
from governance.tenants.context import platform_scope, tenant_context
from tests.factories.inference import make_endpoint, make_version

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture
def admin(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def endpoint(org, admin):
    return ObjectRef.of(make_endpoint(admin, make_version(admin)))


@pytest.fixture
def set_rule(org, admin, endpoint):
    def put(**rule):
        with tenant_context(org.id):
            saved = ruling.save_rule(
                principal=admin,
                target=endpoint,
                tenant_id=org.id,
                question="Is this right?",
                options=[],
                output="",
                due_minutes=60,
                **rule,
            )
        hub.dispatch("policy", "")  # what a worker's hub hears
        return saved

    return put


def admitted(admin, endpoint, *duties):
    return replace(Cause.of(admin, "serving.batch.create", endpoint), duties=duties)


@pytest.mark.parametrize(("withhold", "duty"), [(True, "withhold-below:0.8:"), (False, "refer-below:0.8:")])
def test_a_rule_about_confidence_ends_what_was_admitted_before_it(admin, endpoint, set_rule, withhold, duty):
    before = admitted(admin, endpoint)
    checkpoint(before)
    set_rule(confidence_below=0.8, withhold=withhold)
    with pytest.raises(Revoked, match="since it was admitted") as ended:
        checkpoint(before)
    assert duty in str(ended.value)
    # Admitted under the rule, the same work goes on: it marks or keeps what a person must see.
    checkpoint(admitted(admin, endpoint, duty))
    with platform_scope(), transaction.atomic():
        entry = AuditEntry.objects.get(action="serving.batch.create", decision="deny")
    assert duty in entry.reason


def test_a_stricter_rule_is_another_duty_and_a_removed_one_is_none(admin, org, endpoint, set_rule):
    rule = set_rule(confidence_below=0.5, withhold=False)
    work = admitted(admin, endpoint, "refer-below:0.5:")
    checkpoint(work)
    set_rule(confidence_below=0.9, withhold=False)
    with pytest.raises(Revoked):
        checkpoint(work)
    with tenant_context(org.id):
        ruling.remove_rule(principal=admin, rule_id=rule.id)
    hub.dispatch("policy", "")
    checkpoint(work)


def test_work_that_says_nothing_about_duties_is_not_asked(admin, endpoint, set_rule):
    set_rule(confidence_below=0.8, withhold=True)
    checkpoint(Cause.of(admin, "serving.batch.create", endpoint))


def test_duties_travel_with_the_message(admin, endpoint):
    for cause in (admitted(admin, endpoint), admitted(admin, endpoint, "refer-below:0.5:")):
        assert Cause.from_header(json.loads(json.dumps(cause.as_header()))) == cause
