"""More rights for a while: asked for, approved by another, over in time; and the glass that can be broken."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import transaction
from django.test import Client
from django.utils import timezone

from governance.access.principals import principal_for_user
from governance.audit.models import AuditEntry
from governance.errors import (
    AccessDenied,
    Conflict,
    IllegalTransition,
    InvalidInput,
    NotFound,
    StepUpRequired,
)
from governance.principals import Factor, Role, Signals
from governance.privilege import selectors, services
from governance.privilege.models import Elevation
from governance.privilege.states import ELEVATION_STATES
from governance.tenants.context import RowScope, platform_scope, row_scope
from governance.tenants.models import Membership, User
from tests.states import assert_complete, assert_step, every_step

STEPS = {
    ("requested", "active"),
    ("requested", "refused"),
    ("requested", "withdrawn"),
    ("active", "ended"),
}
database = pytest.mark.django_db(transaction=True)
WHY = "the nightly batch is stuck"


@pytest.mark.parametrize(("source", "target"), every_step(ELEVATION_STATES))
def test_every_step(source, target):
    assert_step(ELEVATION_STATES, source, target, STEPS)


def test_the_table_is_complete():
    assert_complete(ELEVATION_STATES, Elevation.State.values)


@contextmanager
def acting(principal):
    with row_scope(RowScope(principal.tenant_id, principal.platform)), transaction.atomic():
        yield


def roles_of(principal) -> set[str]:
    user = User.objects.get(pk=principal.user_id)
    return {role.value for role in principal_for_user(user, tenant_id=principal.tenant_id).roles}


@pytest.fixture
def developer(principal_for, org):
    return principal_for(org, Role.DEVELOPER)


@pytest.fixture
def admin(principal_for, org):
    return principal_for(org, Role.TENANT_ADMIN)


def ask(principal, **changes) -> Elevation:
    given = {"role": Role.DATA_SCIENTIST, "minutes": 30, "reason": WHY} | changes
    with acting(principal):
        return services.request_elevation(principal=principal, **given)


def approve(admin, elevation, **changes) -> Elevation:
    with acting(admin):
        return services.decide_elevation(
            principal=admin, elevation_id=elevation.id, **({"approve": True, "reason": "fine"} | changes)
        )


@database
def test_an_approved_elevation_counts_until_it_ends(developer, admin):
    elevation = ask(developer)
    assert roles_of(developer) == {"developer"}
    elevation = approve(admin, elevation)
    assert roles_of(developer) == {"developer", "data_scientist"}
    with platform_scope(), transaction.atomic():
        Membership.objects.filter(role="data_scientist").update(expires_at=timezone.now())
        Elevation.objects.update(ends_at=timezone.now() - timedelta(seconds=1))
    assert roles_of(developer) == {"developer"}, "its own end is enough, before anything tidies up"
    assert services.end_due() == 1
    assert services.end_due() == 0
    with platform_scope(), transaction.atomic():
        assert not Membership.objects.filter(role="data_scientist").exists()
        actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {
        "privilege.elevation.request",
        "privilege.elevation.active",
        "privilege.elevation.ended",
    } <= actions


@database
def test_nobody_approves_their_own_and_an_approval_has_a_reason(admin, org, principal_for):
    elevation = ask(admin)
    with pytest.raises(AccessDenied, match="somebody else"):
        approve(admin, elevation)
    other = principal_for(org, Role.TENANT_ADMIN)
    with pytest.raises(InvalidInput, match="reason"):
        approve(other, elevation, reason=" ")
    approve(other, elevation, approve=False)
    assert roles_of(admin) == {"tenant_admin"}
    with pytest.raises(IllegalTransition):
        approve(other, elevation)


@database
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"minutes": 0}, InvalidInput),
        ({"minutes": 100_000}, InvalidInput),
        ({"reason": "short"}, InvalidInput),
        ({"role": Role.PLATFORM_ADMIN}, InvalidInput),
        ({"role": Role.SERVICE}, InvalidInput),
        ({"role": Role.DEVELOPER}, Conflict),
    ],
)
def test_what_cannot_be_asked_for(developer, changes, error):
    with pytest.raises(error):
        ask(developer, **changes)
    with acting(developer):
        assert not Elevation.objects.exists()


@database
def test_one_open_request_per_role_and_it_can_be_taken_back_by_its_maker_alone(developer, admin):
    elevation = ask(developer)
    with pytest.raises(Conflict):
        ask(developer)
    with acting(admin), pytest.raises(NotFound):
        services.withdraw_elevation(principal=admin, elevation_id=elevation.id)
    with acting(developer):
        services.withdraw_elevation(principal=developer, elevation_id=elevation.id)
    ask(developer)


@database
def test_another_tenant_neither_sees_nor_decides(developer, other_org, principal_for):
    elevation = ask(developer)
    stranger = principal_for(other_org, Role.TENANT_ADMIN)
    with pytest.raises(NotFound):
        approve(stranger, elevation)


@database
def test_the_person_can_end_it_and_a_role_given_for_good_meanwhile_stays(developer, admin):
    elevation = approve(admin, ask(developer))
    with acting(developer):
        services.end_elevation(principal=developer, elevation_id=elevation.id)
    assert roles_of(developer) == {"developer"}
    elevation = approve(admin, ask(developer))
    with platform_scope(), transaction.atomic():
        Membership.objects.filter(role="data_scientist").update(expires_at=None)
    with acting(developer):
        services.end_elevation(principal=developer, elevation_id=elevation.id)
    assert roles_of(developer) == {"developer", "data_scientist"}


@database
def test_a_token_never_carries_an_elevated_role(developer, admin, org, member):
    from governance.access.principals import principal_for_bearer
    from tests.factories.governance import bearer_token, make_application

    application, secret = make_application(org, scopes=["models:read"], role=Role.DEVELOPER)
    token = bearer_token(application, secret)
    with platform_scope(), transaction.atomic():
        Membership.objects.create(
            tenant=org,
            user=application.service_user,
            role="tenant_admin",
            expires_at=timezone.now() + timedelta(hours=1),
        )
    found = principal_for_bearer(token)
    assert found is not None
    assert found[0].roles == {Role.DEVELOPER}


def name(admin, person, role=Role.TENANT_ADMIN):
    with acting(admin):
        return services.name_holder(
            principal=admin, tenant_id=admin.tenant_id, person_id=person.user_id, role=role
        )


def smash(person, role=Role.TENANT_ADMIN, reason="the only administrator is away and production stands"):
    with acting(person):
        return services.break_glass(principal=person, role=role, reason=reason)


@database
def test_breaking_the_glass_works_without_an_approver_alarms_and_must_be_reviewed(
    developer, admin, org, principal_for
):
    name(admin, developer)
    elevation = smash(developer)
    assert "tenant_admin" in roles_of(developer)
    with acting(admin):
        assert [row.id for row in selectors.glass_alarms(tenant_id=org.id)] == [elevation.id]
        with pytest.raises(Conflict, match="in force"):
            services.review_break_glass(principal=admin, elevation_id=elevation.id, review="it was right")
        services.end_elevation(principal=admin, elevation_id=elevation.id)
    assert roles_of(developer) == {"developer"}
    now_admin = replace(developer, roles=frozenset({Role.TENANT_ADMIN}))
    with acting(now_admin), pytest.raises(AccessDenied, match="somebody else"):
        services.review_break_glass(principal=now_admin, elevation_id=elevation.id, review="it was right")
    with acting(admin):
        assert selectors.glass_alarms(tenant_id=org.id).count() == 1, "over, but nobody has looked at it"
        services.review_break_glass(principal=admin, elevation_id=elevation.id, review="it was right")
        assert not selectors.glass_alarms(tenant_id=org.id).exists()
        with pytest.raises(Conflict):
            services.review_break_glass(
                principal=admin, elevation_id=elevation.id, review="once more, please"
            )


@database
def test_an_emergency_does_not_wait_for_a_review_but_not_without_end(developer, admin):
    name(admin, developer)
    for _use in range(services.MAX_UNREVIEWED):
        elevation = smash(developer)
        with acting(admin):
            services.end_elevation(principal=admin, elevation_id=elevation.id)
    with pytest.raises(Conflict, match="nobody has reviewed"):
        smash(developer)
    assert roles_of(developer) == {"developer"}
    with acting(admin):
        services.review_break_glass(principal=admin, elevation_id=elevation.id, review="it was right")
    smash(developer)
    with platform_scope(), transaction.atomic():
        uses = AuditEntry.objects.filter(action="privilege.glass.break").order_by("sequence")
        counts = [entry.details.get("unreviewed_before", 0) for entry in uses]
    assert counts == [0, 1, 2, 2]


@database
def test_only_who_was_named_in_advance_can_break_it(developer, admin):
    with pytest.raises(AccessDenied, match="not named"):
        smash(developer)
    name(admin, developer, Role.DATA_SCIENTIST)
    with pytest.raises(AccessDenied, match="not named"):
        smash(developer, Role.TENANT_ADMIN)
    assert roles_of(developer) == {"developer"}


@database
@pytest.mark.parametrize(
    "signals",
    [
        Signals(Factor.PASSWORD, time.time()),
        Signals(Factor.PASSKEY, time.time() - 3600),
        Signals(
            Factor.PASSKEY,
            time.time(),
            network_changed_at=time.time() + 60,
            client_changed_at=time.time() + 60,
        ),
    ],
)
def test_it_takes_two_fresh_factors(developer, admin, signals):
    name(admin, developer)
    with pytest.raises(StepUpRequired):
        smash(replace(developer, signals=signals))
    assert roles_of(developer) == {"developer"}


@database
@pytest.mark.usefixtures("valkey")
def test_the_pages_and_the_api_do_the_same(org, member, developer, admin):
    person = User.objects.get(pk=developer.user_id)
    boss = User.objects.get(pk=admin.user_id)
    hers, his = Client(), Client()
    hers.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    his.force_login(boss, backend="django.contrib.auth.backends.ModelBackend")
    asked = hers.post(
        "/console/privilege/elevations/ask/",
        {"role": "data_scientist", "minutes": 15, "reason": WHY},
        follow=True,
    )
    assert WHY in asked.content.decode()
    assert "Break the glass" not in asked.content.decode()
    row = his.get("/api/v1/elevations/").json()["results"][0]
    assert (row["person"], row["role"], row["state"]) == (person.username, "data_scientist", "requested")
    answer = his.post(
        f"/api/v1/elevations/{row['id']}/decide/",
        '{"approve": true, "reason": "go on"}',
        content_type="application/json",
    )
    assert answer.json()["state"] == "active"
    refused = hers.post(
        "/api/v1/elevations/break-glass/",
        '{"role": "tenant_admin", "reason": "I would like to"}',
        content_type="application/json",
    )
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:openclaw:problem:access-denied")
    his.post("/console/privilege/elevations/holders/", {"person": str(person.id), "role": "tenant_admin"})
    page = hers.post(
        "/console/privilege/elevations/break-glass/",
        {"role": "tenant_admin", "reason": "the power is out"},
        follow=True,
    ).content.decode()
    assert "the power is out" in page
    assert "the power is out" in his.get("/console/privilege/elevations/").content.decode()
