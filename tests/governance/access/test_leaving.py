"""A role that is given for good stays; the last administrator stays; what somebody leaves behind does not come back."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.db import transaction
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import get_access_token_model

from governance.access.grants import give_grant, has_grant
from governance.access.principals import principal_for_bearer, principal_for_user
from governance.access.services import add_membership, remove_membership, set_user_active
from governance.audit.models import AuditEntry
from governance.errors import Conflict
from governance.principals import Role
from governance.privilege import removing, services
from governance.privilege.models import BreakGlassHolder, Elevation, RightKind
from governance.tenants.context import RowScope, platform_scope, row_scope
from governance.tenants.models import Membership, User
from tests.factories.governance import PASSWORD, bearer_token, make_application
from tests.factories.inference import make_endpoint, make_version

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]
INVOKE = "rollouts.invoke_endpoint"


@contextmanager
def acting(principal):
    with row_scope(RowScope(principal.tenant_id, principal.platform)), transaction.atomic():
        yield


@pytest.fixture
def admin(principal_for, org):
    return principal_for(org, Role.TENANT_ADMIN)


def role_of(user, tenant, role) -> Membership:
    with platform_scope(), transaction.atomic():
        return Membership.objects.get(user=user, tenant=tenant, role=role)


def entries(action, **filters) -> list[AuditEntry]:
    with platform_scope(), transaction.atomic():
        return list(AuditEntry.objects.filter(action=action, **filters))


def remove(principal, membership) -> None:
    with acting(principal):
        remove_membership(principal=principal, membership_id=membership.pk, reason="test")


def test_a_role_given_for_good_outlives_the_elevation_to_it(org, admin, member):
    person = principal_for_user(member(org, Role.DEVELOPER), tenant_id=org.id, signals=admin.signals)
    with acting(person):
        asked = services.request_elevation(
            principal=person, role=Role.DATA_SCIENTIST, reason="the nightly batch is stuck", minutes=5
        )
    with acting(admin):
        services.decide_elevation(principal=admin, elevation_id=asked.pk, approve=True, reason="go on")
        user = User.objects.get(pk=person.user_id)
        add_membership(principal=admin, user=user, tenant_id=org.id, role=Role.DATA_SCIENTIST)
    (entry,) = entries("tenants.membership.add")
    assert entry.details == {"role": "data_scientist", "was_elevated": True}
    with acting(admin):
        services.end_elevation(principal=admin, elevation_id=asked.pk)
    assert role_of(user, org, Role.DATA_SCIENTIST).expires_at is None
    with acting(admin):
        add_membership(principal=admin, user=user, tenant_id=org.id, role=Role.DATA_SCIENTIST)
    assert len(entries("tenants.membership.add")) == 1, "twice changes nothing"


def test_the_last_administrator_is_the_same_by_every_way(org, platform, admin, principal_for, member):
    last = role_of(admin.user_id, org, Role.TENANT_ADMIN)
    # Neither one whose time is over soon, nor a disabled account, nor a program could give the role back.
    elevated, gone = member(org, Role.TENANT_ADMIN), member(org, Role.TENANT_ADMIN)
    with platform_scope(), transaction.atomic():
        Membership.objects.filter(user=elevated).update(expires_at=timezone.now() + timedelta(hours=1))
        User.objects.filter(pk=gone.pk).update(is_active=False)
    make_application(org, scopes=["tenant:manage"], role=Role.TENANT_ADMIN)
    with pytest.raises(Conflict, match="last administrator"):
        remove(admin, last)
    with pytest.raises(Conflict, match="last administrator"), acting(admin):
        removing.remove_right(
            principal=admin,
            tenant_id=org.id,
            account_id=admin.user_id,
            kind=RightKind.ROLE,
            name="tenant_admin",
            reason="test",
        )
    root = principal_for(platform, Role.PLATFORM_ADMIN)
    with pytest.raises(Conflict, match="last administrator"):
        set_user_active(principal=root, user_id=root.user_id, active=False)
    remove(admin, role_of(elevated, org, Role.TENANT_ADMIN))
    remove(admin, role_of(gone, org, Role.TENANT_ADMIN))
    second = principal_for(org, Role.TENANT_ADMIN)
    remove(second, last)
    assert set_user_active(principal=root, user_id=second.user_id, active=False).is_active is False, (
        "the platform can name a new one"
    )


def test_who_comes_back_finds_no_old_grants_tokens_or_promises(org, other_org, admin, member, principal_for):
    user = member(org, Role.DEVELOPER)
    person = principal_for_user(user, tenant_id=org.id, signals=admin.signals)
    elsewhere = principal_for(other_org, Role.TENANT_ADMIN)
    with acting(admin):
        endpoint = make_endpoint(admin, make_version(admin))
        services.name_holder(principal=admin, tenant_id=org.id, person_id=user.pk, role=Role.TENANT_ADMIN)
    with acting(elsewhere):
        theirs = make_endpoint(elsewhere, make_version(elsewhere))
    with platform_scope(), transaction.atomic():
        Membership.objects.create(user=user, tenant=other_org, role=Role.DEVELOPER)
        for target in (endpoint, theirs):
            give_grant(user=user, permission=INVOKE, target=target)
    with acting(person):
        asked = services.request_elevation(
            principal=person, role=Role.DATA_SCIENTIST, reason="the nightly batch is stuck", minutes=5
        )
    remove(admin, role_of(user, org, Role.DEVELOPER))
    (entry,) = entries("tenants.membership.remove")
    assert entry.details == {"role": "developer", "grants_removed": 1, "tokens_deleted": 0}
    assert not has_grant(user_id=user.pk, permission=INVOKE, object_id=str(endpoint.pk))
    assert has_grant(user_id=user.pk, permission=INVOKE, object_id=str(theirs.pk)), (
        "another tenant's is not ours"
    )
    with platform_scope(), transaction.atomic():
        assert not BreakGlassHolder.objects.exists()
        assert Elevation.objects.get(pk=asked.pk).state == "withdrawn"


def test_a_program_that_lost_its_role_has_no_token_when_it_gets_one_again(org, admin):
    application, secret = make_application(org, scopes=["models:infer"])
    token = bearer_token(application, secret)
    remove(admin, role_of(application.service_user_id, org, Role.SERVICE))
    with acting(admin):
        add_membership(principal=admin, user=application.service_user, tenant_id=org.id, role=Role.SERVICE)
    assert principal_for_bearer(token) is None
    assert not get_access_token_model().objects.exists()


def test_an_account_that_is_enabled_again_opens_nothing_old(org, other_org, platform, member, principal_for):
    root = principal_for(platform, Role.PLATFORM_ADMIN)
    user = member(org, Role.DEVELOPER)
    with platform_scope(), transaction.atomic():
        Membership.objects.create(user=user, tenant=other_org, role=Role.DEVELOPER)
    browser = Client()
    browser.post("/accounts/login/", {"username": user.username, "password": PASSWORD})
    assert browser.get("/console/").status_code == 200
    with acting(root):
        set_user_active(principal=root, user_id=user.pk, active=False, reason="a finding")
        set_user_active(principal=root, user_id=user.pk, active=True, reason="cleared")
    assert browser.get("/console/").status_code == 302
    assert not Session.objects.exists()
    chains = {org.id, other_org.id, platform.id}
    assert {entry.tenant_id for entry in entries("tenants.user.disable", reason="a finding")} == chains
    assert {entry.tenant_id for entry in entries("tenants.user.enable", reason="cleared")} == chains


def test_disabling_a_program_that_is_an_account_ends_its_tokens(org, platform, principal_for):
    root = principal_for(platform, Role.PLATFORM_ADMIN)
    application, secret = make_application(org, scopes=["models:infer"])
    token = bearer_token(application, secret)
    with acting(root):
        for active in (False, True):
            set_user_active(principal=root, user_id=application.service_user_id, active=active)
    assert principal_for_bearer(token) is None
    (entry,) = entries("tenants.user.disable", tenant_id=org.id)
    assert entry.details == {"tokens_deleted": 1}
