"""Who may break the glass, and the bounds of rights, over REST: the same services, the same bounds."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.test import Client

from governance.audit.models import AuditEntry
from governance.principals import Role
from governance.privilege.models import BreakGlassHolder, PrivilegeSettings
from governance.tenants.context import platform_scope

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey", "platform")]
HOLDERS, BOUNDS = "/api/v1/break-glass-holders/", "/api/v1/rights-bounds/"
WANTED = {"unused_after_days": 30, "max_elevation_minutes": 60, "break_glass_minutes": 30}


@pytest.fixture
def browser(member):
    def signed_in(tenant, role) -> Client:
        made = Client()
        made.force_login(member(tenant, role), backend="django.contrib.auth.backends.ModelBackend")
        return made

    return signed_in


def written(action: str) -> int:
    with platform_scope(), transaction.atomic():
        return AuditEntry.objects.filter(action=action).count()


def test_holders_are_named_seen_and_removed(org, other_org, member, browser):
    admin, stranger = browser(org, Role.TENANT_ADMIN), browser(other_org, Role.TENANT_ADMIN)
    dana, foreign = member(org, Role.DEVELOPER), member(other_org, Role.DEVELOPER)
    body = {"person": str(dana.pk), "role": "tenant_admin"}
    made = admin.post(HOLDERS, body, content_type="application/json")
    assert (made.status_code, made.json()["username"]) == (201, dana.username)
    assert admin.post(HOLDERS, body, content_type="application/json").json()["id"] == made.json()["id"]
    assert written("privilege.holder.name") == 1
    for wrong, status in (
        ({"role": "reviewer"}, 400),
        ({"person": str(foreign.pk)}, 404),
        ({"person": "nobody"}, 400),
    ):
        answer = admin.post(HOLDERS, body | wrong, content_type="application/json")
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert [row["id"] for row in admin.get(HOLDERS).json()["results"]] == [made.json()["id"]]
    one = f"{HOLDERS}{made.json()['id']}/"
    assert admin.get(one).json()["role"] == "tenant_admin"
    assert stranger.get(HOLDERS).json()["results"] == []
    assert stranger.get(one).status_code == stranger.delete(one).status_code == 404
    assert browser(org, Role.DEVELOPER).delete(one).status_code == 403
    assert admin.delete(one).status_code == 204
    with platform_scope(), transaction.atomic():
        assert not BreakGlassHolder.objects.exists()
    assert written("privilege.holder.remove") == 1


def test_bounds_are_seen_and_set_within_theirs(org, browser):
    admin, developer = browser(org, Role.TENANT_ADMIN), browser(org, Role.DEVELOPER)
    assert admin.get(BOUNDS).json() == {
        "unused_after_days": 90,
        "max_elevation_minutes": 240,
        "break_glass_minutes": 60,
    }
    assert admin.put(BOUNDS, WANTED, content_type="application/json").json() == WANTED
    assert admin.get(BOUNDS).json() == WANTED
    for wrong in ({"unused_after_days": 1}, {"max_elevation_minutes": 100_000}, {"break_glass_minutes": "x"}):
        answer = admin.put(BOUNDS, WANTED | wrong, content_type="application/json")
        assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
        assert answer.json()["errors"][0]["pointer"] == f"/{next(iter(wrong))}"
    missing = admin.put(BOUNDS, {"unused_after_days": 30}, content_type="application/json")
    assert missing.status_code == 400
    for refused in (developer.get(BOUNDS), developer.put(BOUNDS, WANTED, content_type="application/json")):
        assert refused.status_code == 403
    with platform_scope(), transaction.atomic():
        assert PrivilegeSettings.objects.get().unused_after_days == 30
    assert written("privilege.settings.save") == 1
