"""The incident register: deadlines of Article 73, steps in order, and nobody else's eyes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, IllegalTransition, InvalidInput, NotFound
from governance.ethics import incidents
from governance.ethics.models import Incident
from governance.ethics.selectors import overdue_incidents, visible_incidents
from governance.ethics.states import INCIDENT_STATES
from governance.principals import Role
from governance.tenants.context import platform_scope
from tests.governance.ethics.steps import acting, thing
from tests.states import assert_complete, assert_step, every_step

STEPS = {
    ("open", "investigating"),
    ("open", "reported"),
    ("investigating", "reported"),
    ("investigating", "closed"),
    ("reported", "closed"),
}
database = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(("source", "target"), every_step(INCIDENT_STATES))
def test_every_step(source, target):
    assert_step(INCIDENT_STATES, source, target, STEPS)


def test_the_table_is_complete():
    assert_complete(INCIDENT_STATES, Incident.State.values)


def open_one(principal, **more):
    given = {
        "subject": thing(), "title": "Wrong order", "description": "Two samples waited a day.",
        "severity": "high", "tenant_id": principal.tenant_id,
    }  # fmt: skip
    with acting(principal):
        return incidents.open_incident(principal=principal, **(given | more))


def step(name, principal, incident, **given):
    with acting(principal):
        return getattr(incidents, name)(principal=principal, incident_id=incident.id, **given)


@database
@pytest.mark.parametrize(("serious", "days"), [("serious", 15), ("death", 10), ("widespread", 2)])
def test_a_serious_incident_is_due_by_article_73(admin, serious, days):
    aware = timezone.now() - timedelta(days=1)
    made = open_one(admin, serious=serious, aware_at=aware)
    assert made.report_due_at - aware == timedelta(days=days)


@database
def test_one_that_is_not_serious_has_no_deadline_until_it_is_judged_so(admin):
    made = open_one(admin)
    assert made.report_due_at is None
    made = step("investigate", admin, made, serious="death")
    assert made.report_due_at - made.aware_at == timedelta(days=10)


@database
def test_a_serious_one_is_reported_before_it_is_closed(admin):
    made = step("investigate", admin, open_one(admin, serious="serious"))
    with pytest.raises(Conflict, match="must be reported"):
        step("close", admin, made, corrective_action="A second reading.")
    with pytest.raises(InvalidInput):
        step("report", admin, made, reported_to=" ")
    made = step("report", admin, made, reported_to="Market surveillance authority")
    with pytest.raises(InvalidInput):
        step("close", admin, made, corrective_action="")
    made = step("close", admin, made, corrective_action="A second reading.")
    with pytest.raises(IllegalTransition):
        step("investigate", admin, made)
    with platform_scope(), transaction.atomic():
        actions = AuditEntry.objects.filter(target_id=str(made.id)).order_by("sequence")
        assert list(actions.values_list("action", flat=True)) == [
            "ethics.incident.open", "ethics.incident.investigating", "ethics.incident.reported",
            "ethics.incident.closed",
        ]  # fmt: skip


@database
def test_the_database_keeps_both_promises(admin):
    made = open_one(admin, serious="serious")
    with pytest.raises(IntegrityError), platform_scope(), transaction.atomic():
        Incident.objects.filter(pk=made.pk).update(state="closed")
    with pytest.raises(IntegrityError), platform_scope(), transaction.atomic():
        Incident.objects.filter(pk=made.pk).update(report_due_at=None)


@database
def test_late_reports_are_found(admin):
    made = open_one(admin, serious="widespread", aware_at=timezone.now() - timedelta(days=3))
    with acting(admin), transaction.atomic():
        assert [row.pk for row in overdue_incidents(visible_incidents(admin))] == [made.pk]
    step("report", admin, made, reported_to="Market surveillance authority")
    with acting(admin), transaction.atomic():
        assert not overdue_incidents(visible_incidents(admin)).exists()
    with platform_scope(), transaction.atomic():
        assert AuditEntry.objects.get(action="ethics.incident.reported").details["late"] is True


@database
@pytest.mark.parametrize(
    "wrong",
    [
        {"title": "x"}, {"title": "x" * 201}, {"description": ""}, {"severity": "awful"}, {"serious": "maybe"},
        {"aware_at": timezone.now() + timedelta(days=1)}, {"occurred_at": timezone.now() + timedelta(days=1)},
        {"subject": thing("", "")},
    ],
)  # fmt: skip
def test_bad_input_leaves_nothing(admin, wrong):
    with pytest.raises(InvalidInput):
        open_one(admin, **wrong)
    with platform_scope(), transaction.atomic():
        assert not Incident.objects.exists()


@database
def test_another_tenant_neither_sees_nor_handles_it(admin, other_org, principal_for):
    made = open_one(admin)
    neighbour = principal_for(other_org, Role.TENANT_ADMIN)
    with pytest.raises(NotFound):
        step("investigate", neighbour, made)
    with acting(neighbour), transaction.atomic():
        assert not visible_incidents(neighbour).exists()
    with pytest.raises(AccessDenied), acting(neighbour):
        incidents.open_incident(
            principal=neighbour, subject=thing(), title="Theirs", description="Not mine.", severity="low",
            tenant_id=admin.tenant_id,
        )  # fmt: skip


@database
def test_a_developer_enters_and_somebody_else_handles(org, principal_for, admin):
    developer = principal_for(org, Role.DEVELOPER)
    made = open_one(developer)
    with pytest.raises(AccessDenied):
        step("investigate", developer, made)
    assert step("investigate", admin, made).state == "investigating"
