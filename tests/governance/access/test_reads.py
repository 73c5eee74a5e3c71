"""Whoever may read or export restricted content has read it by the log, whichever action of the product it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import transaction

from governance.access import facts
from governance.access.decisions import READS, registered_actions, require
from governance.audit.models import AuditEntry
from governance.ids import uuid7
from governance.principals import PLATFORM_ROLES, Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope

pytestmark = [pytest.mark.django_db(transaction=True)]

READING = sorted(name for name, rule in registered_actions().items() if not READS.isdisjoint(rule.groups))
OTHERS = sorted({"data.asset.view", "audit.entry.view", "serving.batch.view"} & set(registered_actions()))


@pytest.fixture
def labelled(monkeypatch):
    """`labelled("restricted")`: what the catalogue says of everything."""

    def set_to(label: str) -> None:
        monkeypatch.setattr(facts, "_source", lambda _target, _tenant_id: {"label": label})

    return set_to


def asked(principal_for, org, action: str) -> ObjectRef:
    rule = registered_actions()[action]
    role = sorted(rule.roles - PLATFORM_ROLES - {Role.SYSTEM})[0]
    principal = replace(principal_for(org, Role.DEVELOPER), roles=frozenset({role}))
    target = ObjectRef("data.dataset", str(uuid7()))
    with platform_scope(), transaction.atomic():
        assert require(principal, action, target, tenant_id=org.id).allow
    return target


def entries(target: ObjectRef) -> list[tuple[str, object]]:
    with platform_scope(), transaction.atomic():
        rows = AuditEntry.objects.filter(action="data.asset.read", target_id=target.id)
        return [(row.details["label"], row.details["decision"]) for row in rows]


def test_there_are_such_actions():
    assert {"data.dataset.read", "serving.batch.result", "ethics.bundle.export"} <= set(READING)


@pytest.mark.parametrize("action", READING)
def test_a_read_of_restricted_content_is_recorded_and_of_other_content_is_not(
    action, org, principal_for, labelled
):
    labelled("restricted")
    assert entries(asked(principal_for, org, action)) == [("restricted", action)]
    labelled("confidential")
    assert entries(asked(principal_for, org, action)) == []


@pytest.mark.parametrize("action", OTHERS)
def test_seeing_that_there_is_something_is_no_read(action, org, principal_for, labelled):
    labelled("restricted")
    assert entries(asked(principal_for, org, action)) == []
