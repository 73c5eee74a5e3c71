"""Unique user identification (45 CFR 164.312(a)(2)(i)): one account, one id, named by whatever it does."""

from __future__ import annotations

import uuid

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from governance.access import services
from governance.errors import Conflict
from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope
from governance.tenants.models import User
from tests.factories.governance import PASSWORD, bearer_token, make_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey", "platform")]


def test_a_name_is_given_to_one_account(org, other_org, member, sign_in_principal):
    anna = member(org, Role.TENANT_ADMIN)
    with platform_scope(), pytest.raises(Conflict):
        services.create_person(principal=SYSTEM, username=anna.username, password=PASSWORD)
    with platform_scope(), pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user(username=anna.username, password=PASSWORD)
    with platform_scope():
        services.set_user_active(principal=SYSTEM, user_id=anna.id, active=False, reason="left the house")
    with platform_scope(), pytest.raises(Conflict):
        services.create_person(principal=SYSTEM, username=anna.username, password=PASSWORD)


def test_no_account_is_deleted_so_no_id_comes_back(platform, person):
    root = person(platform, Role.PLATFORM_ADMIN)
    leaver = person(platform, Role.REVIEWER, signed_in=False)
    address = reverse("admin:tenants_user_delete", args=[leaver.user.id])
    assert root.client.post(address, {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=leaver.user.id).exists()
    assert (
        len({uuid.UUID(str(pk)) for pk in User.objects.values_list("pk", flat=True)}) == User.objects.count()
    )


def test_every_entry_names_who_did_it_by_an_id(org, person, log):
    anna, berta = (person(org, Role.TENANT_ADMIN) for _each in range(2))
    began = {entry.actor_id for entry in log("identity.session.begin")}
    assert began == {str(anna.user.id), str(berta.user.id)}
    application, secret = make_application(org, scopes=["audit:read"], role=Role.TENANT_ADMIN)
    token = bearer_token(application, secret)
    refused = anna.client.get("/api/v1/identity-providers/", headers={"Authorization": f"Bearer {token}"})
    assert refused.status_code == 403
    assert [entry.actor_id for entry in log(decision="deny")] == [str(application.id)]
