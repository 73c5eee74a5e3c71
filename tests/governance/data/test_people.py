"""An erasure of a person reaches every table that tells about people, or says why its rows stay."""

from __future__ import annotations

import re

import pytest
from django.apps import apps
from django.conf import settings
from django.db import models
from django.utils import timezone

from governance.access.models import RegisteredDevice
from governance.data import erasers, people, services
from governance.data.erasing import request_erasure, run_erasure
from governance.data.models import ErasurePlace, LineageEdge
from governance.ids import uuid7
from governance.oversight.models import HumanLabel, OversightTask
from governance.policies.models import DecisionRecord
from governance.principals import SYSTEM, Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Membership, TenantModel
from tests.site.meta.product import AREAS

pytestmark = pytest.mark.django_db

Outcome = ErasurePlace.Outcome
# How columns are called that hold a person's id, name or address themselves.
TELLING = re.compile(
    r"(^|_)(principal|user|account|actor|person|caller|author|owner|by)(_id|_label)?$|^subject$|email"
)
WORDS = (models.CharField, models.TextField, models.UUIDField)


def telling_columns() -> dict[str, set[str]]:
    """The columns of every tenant table that tell about people in words; accounts by foreign key are left out."""
    found: dict[str, set[str]] = {}
    for model in apps.get_models():
        if model.__module__.split(".")[0] not in AREAS or not issubclass(model, TenantModel):
            continue
        names = {
            field.name
            for field in model._meta.fields
            if isinstance(field, WORDS) and not field.is_relation and TELLING.search(field.name)
        }
        if names:
            found[model._meta.label_lower] = names
    return found


def test_every_column_that_tells_about_people_is_reached_or_stays_for_a_stated_reason():
    found = telling_columns()
    assert "policies.decisionrecord" in found, "the test looks past what it is about"
    missed = {
        table: sorted(left)
        for table, names in found.items()
        if table not in people.staying and (left := names - people.handled.get(table, set()))
    }
    assert not missed, f"register how an erasure of a person handles them (governance.data.people): {missed}"
    assert all(str(reason) for reason in people.staying.values())


def test_every_table_that_names_people_by_account_is_reached_through_the_account():
    user = apps.get_model(settings.AUTH_USER_MODEL)
    by_account = {
        model._meta.label_lower
        for model in apps.get_models()
        if issubclass(model, TenantModel)
        and any(field.related_model is user for field in model._meta.fields if field.is_relation)
    }
    assert {"ethics.incident", "ethics.evidence", "privilege.elevation"} <= by_account
    assert people.ACCOUNT in erasers._erase
    assert people.ACCOUNT in erasers._find


@pytest.fixture
def in_org(org):
    with tenant_context(org.id):
        yield org


def erase(org, admin, subject: str) -> dict[str, str]:
    erasure = request_erasure(principal=admin, kind="subject", reference=subject, reason="asked to")
    run_erasure(erasure.id)
    return {place.type: place.outcome for place in erasure.places.all()}


def decided(org, who) -> DecisionRecord:
    now = timezone.now()
    return DecisionRecord.objects.create(
        tenant=org,
        key=uuid7().hex,
        bucket=now,
        principal_kind="user",
        principal_id=str(who.id),
        principal_label=who.username,
        account_id=who.id,
        action="data.asset.view",
        allow=True,
        policy_version="1",
        request={"principal": str(who.id)},
        count=1,
        first_at=now,
        last_at=now,
    )


def test_a_person_of_this_tenant_alone_becomes_a_pseudonym_everywhere(in_org, principal_for, member):
    admin, person = principal_for(in_org, Role.TENANT_ADMIN), member(in_org, Role.DATA_SCIENTIST)
    person.email = "ada@bank.example"
    person.save()
    record = decided(in_org, person)
    RegisteredDevice.objects.create(tenant=in_org, user=person, name="Ada's laptop", jkt="k")
    ends = [
        services.register_asset(
            principal=SYSTEM, target=ObjectRef("tests.row", str(uuid7()), label=name), tenant_id=in_org.id
        )
        for name in ("a", "b")
    ]
    edge = LineageEdge.objects.create(
        tenant=in_org,
        source=ends[0],
        target=ends[1],
        relation="derived_from",
        by_kind="user",
        by_id=str(person.id),
        by_label=person.username,
    )
    name = person.username
    outcomes = erase(in_org, admin, str(person.id))
    assert outcomes[people.ACCOUNT] == Outcome.ERASED
    person.refresh_from_db()
    record.refresh_from_db()
    edge.refresh_from_db()
    assert (person.is_active, person.email, person.has_usable_password()) == (False, "", False)
    assert not Membership.objects.filter(user=person).exists()
    assert not RegisteredDevice.objects.filter(user=person).exists()
    assert record.principal_id == edge.by_id == people.pseudonym(str(person.id), in_org.id)
    for text in (person.username, record.principal_label, edge.by_label, str(record.request)):
        assert name not in text
    assert record.account_id is None


def test_an_account_of_several_tenants_loses_its_membership_here_and_nothing_else(
    in_org, other_org, principal_for, member
):
    admin, person = principal_for(in_org, Role.TENANT_ADMIN), member(in_org, Role.DEVELOPER)
    with platform_scope():
        Membership.objects.create(tenant=other_org, user=person, role=Role.DEVELOPER)
    name = person.username
    assert erase(in_org, admin, str(person.id))[people.ACCOUNT] == Outcome.RETAINED
    person.refresh_from_db()
    assert (person.username, person.is_active) == (name, True)
    with platform_scope():
        assert [row.tenant_id for row in Membership.objects.filter(user=person)] == [other_org.id]


def test_somebody_elses_account_and_the_only_administrator_are_left_alone(
    in_org, other_org, principal_for, member
):
    admin = principal_for(in_org, Role.TENANT_ADMIN)
    with tenant_context(other_org.id):
        stranger = member(other_org, Role.DEVELOPER)
    assert people.ACCOUNT not in erase(in_org, admin, str(stranger.id))
    stranger.refresh_from_db()
    assert stranger.is_active
    assert erase(in_org, admin, admin.id)[people.ACCOUNT] == Outcome.BY_HAND
    assert Membership.objects.filter(user_id=admin.id).exists()


def test_a_question_about_an_erased_answer_is_blanked_with_its_label(in_org):
    now = timezone.now()
    task = OversightTask.objects.create(
        tenant=in_org,
        cause="low_confidence",
        subject_type="rollouts.endpoint",
        subject_id=str(uuid7()),
        decision_id="r-1",
        question="Is it fraud?",
        options=["yes", "no"],
        facts={"income": 7},
        due_at=now,
        state="decided",
        answer="yes",
        reason="her income",
    )
    label = HumanLabel.objects.create(
        tenant=in_org,
        task=task,
        subject_type=task.subject_type,
        subject_id=task.subject_id,
        decision_id="r-1",
        label="yes",
        at=now,
    )
    assert erasers.erase(ObjectRef.of(task), in_org.id).outcome == Outcome.ERASED
    task.refresh_from_db()
    label.refresh_from_db()
    assert (task.facts, task.answer, task.reason, task.decision_id) == ({}, "", "", "")
    assert (label.label, label.decision_id, label.in_force) == ("", "", False)
