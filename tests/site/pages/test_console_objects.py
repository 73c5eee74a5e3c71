"""The generated pages of stored objects: who sees which, and that changes go through services."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.db import transaction

from governance.principals import Role
from governance.tenants.context import platform_scope

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def lists():
    """Every registered list page."""
    return sorted(f"/console/{m._meta.app_label}/{m._meta.model_name}/" for m in admin.site._registry)


def test_every_list_opens_searches_and_filters_for_those_who_may(platform, sign_in):
    roles = (Role.PLATFORM_ADMIN, Role.ETHICS_OFFICER, Role.REVIEWER)
    clients = [sign_in(platform, role).client for role in roles]
    for address in lists():
        opened = [c for c in clients if c.get(address).status_code == 200]
        assert opened, f"nobody of the platform may open {address}"
        assert opened[0].get(address, {"q": "x"}).status_code == 200
        assert "unsafe-eval" in opened[0].get(address).headers["Content-Security-Policy"]


def test_no_foreign_models_are_in_the_console():
    ours = {"tenants", "audit", "access", "keys", "ethics", "registry", "rollouts", "serving", "library"}
    ours |= {"catalog", "review", "distribution", "installs"}
    assert {m._meta.app_label for m in admin.site._registry} <= ours


def test_every_object_page_follows_to_its_object(platform, org, sign_in):
    client = sign_in(platform, Role.PLATFORM_ADMIN).client
    for model in ("tenants/tenant", "tenants/user", "tenants/membership", "audit/auditentry"):
        page = client.get(f"/console/{model}/")
        rows = page.context["cl"].result_list
        if rows:
            assert client.get(f"/console/{model}/{rows[0].pk}/change/").status_code == 200, model


def test_people_are_no_directory(org, other_org, sign_in):
    mine = sign_in(org, Role.TENANT_ADMIN)
    theirs = sign_in(other_org, Role.TENANT_ADMIN)
    page = mine.client.get("/console/tenants/user/").content.decode()
    assert mine.user.username in page
    assert theirs.user.username not in page
    found = mine.client.get("/console/tenants/user/", {"q": theirs.user.username}).content.decode()
    assert f"/console/tenants/user/{theirs.user.pk}" not in found
    assert mine.client.get(f"/console/tenants/user/{theirs.user.pk}/change/").status_code == 302
    tenants = mine.client.get("/console/tenants/tenant/").content.decode()
    assert other_org.name not in tenants


def test_a_tenant_administrator_adds_a_colleague(org, sign_in):
    from governance.audit.models import AuditEntry
    from governance.tenants.models import Membership

    person = sign_in(org, Role.TENANT_ADMIN)
    form = {"username": "colleague", "email": "", "password": "a long enough passphrase", "role": "developer"}
    answer = person.client.post("/console/tenants/user/add/", form)
    assert answer.status_code == 302, answer.content.decode()[-3000:]
    with platform_scope(), transaction.atomic():
        membership = Membership.objects.get(user__username="colleague@bank")
        assert (membership.tenant_id, membership.role) == (org.id, "developer")
        assert AuditEntry.objects.filter(action="tenants.membership.add", tenant=org).exists()


def test_a_name_that_somebody_has_in_another_company_tells_nothing(org, other_org, sign_in, member):
    member(other_org, Role.DEVELOPER, username="stranger")
    person = sign_in(org, Role.TENANT_ADMIN)
    form = {"username": "stranger", "email": "", "password": "a long enough passphrase", "role": "developer"}
    taken = person.client.post("/console/tenants/user/add/", form)
    free = person.client.post("/console/tenants/user/add/", form | {"username": "nobody"})
    assert (taken.status_code, free.status_code) == (302, 302)
    again = person.client.post("/console/tenants/user/add/", form)
    assert again.status_code != 302
    assert "taken" in again.content.decode()


def test_a_weak_first_password_is_explained(org, sign_in):
    person = sign_in(org, Role.TENANT_ADMIN)
    form = {"username": "colleague", "email": "", "password": "short", "role": "developer"}
    answer = person.client.post("/console/tenants/user/add/", form)
    assert answer.status_code == 200
    assert "too short" in answer.content.decode()


def test_an_administrator_makes_suspends_and_resumes_a_tenant(platform, sign_in):
    from governance.tenants.models import Tenant

    client = sign_in(platform, Role.PLATFORM_ADMIN).client
    made = client.post(
        "/console/tenants/tenant/add/", {"name": "Clinic", "slug": "clinic", "kind": "organisation"}
    )
    assert made.status_code == 302, made.content.decode()[-3000:]

    def tenant():
        with platform_scope(), transaction.atomic():
            return Tenant.objects.get(slug="clinic")

    for action, suspended in (("suspend", True), ("resume", False)):
        client.post("/console/tenants/tenant/", {"action": action, "_selected_action": [str(tenant().pk)]})
        assert (tenant().suspended_at is not None) is suspended


def test_nobody_edits_or_deletes_the_audit_log(platform, org, sign_in):
    from governance.audit.models import AuditEntry

    client = sign_in(platform, Role.PLATFORM_ADMIN).client
    client.post("/console/tenants/tenant/add/", {"name": "Clinic", "slug": "clinic", "kind": "organisation"})
    with platform_scope(), transaction.atomic():
        entry = AuditEntry.objects.filter(action="tenants.tenant.create").get()
    page = client.get(f"/console/audit/auditentry/{entry.pk}/change/")
    assert page.status_code == 200
    assert b"_save" not in page.content
    assert client.post(f"/console/audit/auditentry/{entry.pk}/delete/", {"post": "yes"}).status_code == 403
