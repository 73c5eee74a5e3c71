"""Signing in, the frame around every page, languages, and the policy that the browser holds pages to."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from governance.principals import Role
from tests.factories.governance import PASSWORD

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

INLINE = re.compile(r"<[^>]+\s(style=|on[a-z]+=)|<style|<script(?![^>]*\ssrc=)|javascript:", re.IGNORECASE)
FOREIGN = re.compile(r"(src|href|action)=\"(https?:)?//")


def assert_strict(response):
    """Nothing inline in the page, nothing from elsewhere, and a policy that would stop it."""
    html = response.content.decode()
    assert not INLINE.search(html), INLINE.search(html)
    assert not FOREIGN.search(html), FOREIGN.search(html)
    policy = response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy


def test_sign_in_page_and_back_to_where_one_wanted_to_go(platform, member):
    user = member(platform, Role.PLATFORM_ADMIN)
    client = Client()
    asked = client.get("/console/")
    assert asked.status_code == 302
    assert asked.headers["Location"] == "/accounts/login/?next=/console/"
    page = client.get(asked.headers["Location"])
    assert_strict(page)
    form = {"username": user.username, "password": PASSWORD, "next": "/console/"}
    assert client.post("/accounts/login/", form).headers["Location"] == "/console/"
    assert client.get("/console/").status_code == 200


def test_a_wrong_password_says_so_and_many_lock_the_account_for_a_while(platform, member):
    user = member(platform, Role.PLATFORM_ADMIN)
    client = Client()
    wrong = {"username": user.username, "password": "wrong"}
    first = client.post("/accounts/login/", wrong)
    assert b'role="alert"' in first.content
    answers = [client.post("/accounts/login/", wrong) for _again in range(5)]
    assert answers[-1].status_code == 429
    assert b"Signing in is paused" in answers[-1].content
    right = client.post("/accounts/login/", {"username": user.username, "password": PASSWORD})
    assert right.status_code == 429


def test_somebody_without_a_role_gets_an_explanation_not_a_loop(platform):
    from governance.tenants.models import User

    user = User.objects.create_user(username="nobody", password=PASSWORD)
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get("/")
    assert page.status_code == 403
    assert b"No role yet" in page.content


def test_the_menu_shows_what_the_role_may_open(platform, org, partner_org, sign_in):
    admin = sign_in(platform, Role.PLATFORM_ADMIN).client.get("/console/").content.decode()
    assert "/console/tenants/tenant/" in admin
    developer = sign_in(org, Role.DEVELOPER).client.get("/console/").content.decode()
    assert "/console/endpoints/" in developer
    assert "/console/tenants/" not in developer
    assert "Services" not in developer
    partner = sign_in(partner_org, Role.PARTNER).client.get("/partner/").content.decode()
    assert "/applications/" in partner
    assert "/console/" not in partner


def test_the_console_sends_those_away_who_may_not_open_it(partner_org, sign_in):
    partner = sign_in(partner_org, Role.PARTNER).client
    assert partner.get("/console/").status_code == 403
    sent_away = partner.get("/console/tenants/tenant/", follow=True)
    assert sent_away.redirect_chain[-1][0] == "/partner/"


def test_language_follows_the_browser_and_the_switch(platform, sign_in):
    client = sign_in(platform, Role.PLATFORM_ADMIN).client
    assert (
        '<html lang="zh-hans"'
        in client.get("/console/", headers={"Accept-Language": "zh-CN"}).content.decode()
    )
    client.post("/language/", {"language": "zh-hans", "next": "/console/"})
    assert '<html lang="zh-hans"' in client.get("/console/").content.decode()


def test_choosing_a_tenant_changes_whose_rows_one_sees(platform, org, sign_in):
    from django.db import transaction

    from governance.tenants.context import platform_scope
    from governance.tenants.models import Membership

    person = sign_in(platform, Role.PLATFORM_ADMIN)
    with platform_scope(), transaction.atomic():
        Membership.objects.create(user=person.user, tenant=org, role=Role.TENANT_ADMIN)
    assert "Services" in person.client.get("/console/").content.decode()
    person.client.post("/accounts/tenant/", {"tenant": str(org.id)})
    assert "Services" not in person.client.get("/console/").content.decode()


@pytest.mark.parametrize("address", ["/console/nothing/", "/nothing", "/partner/nothing/"])
def test_an_unknown_address_has_a_page_of_its_own(address, platform, sign_in):
    answer = sign_in(platform, Role.PLATFORM_ADMIN).client.get(address)
    assert answer.status_code == 404
    assert b"OpenClaw" in answer.content


def test_a_stale_form_is_explained(platform, member):
    answer = Client(enforce_csrf_checks=True).post("/accounts/login/", {"username": "a", "password": "b"})
    assert answer.status_code == 403
    assert b"Please try again" in answer.content


def test_own_pages_hold_the_strict_policy(platform, org, partner_org, sign_in):
    admin = sign_in(platform, Role.PLATFORM_ADMIN).client
    tenant = sign_in(org, Role.TENANT_ADMIN).client
    for client, address in [
        (admin, "/console/"),
        (admin, "/console/house/"),
        (admin, "/applications/"),
        (admin, "/console/partners/"),
        (tenant, "/console/endpoints/"),
        (tenant, "/console/endpoints/new/"),
        (sign_in(platform, Role.ETHICS_OFFICER).client, "/console/ethics/"),
        (sign_in(platform, Role.REVIEWER).client, "/console/review/"),
        (sign_in(partner_org, Role.PARTNER).client, "/partner/"),
        (sign_in(partner_org, Role.PARTNER).client, "/partner/upload/"),
        (tenant, "/accounts/password/"),
        (tenant, "/console/catalogue/"),
        (tenant, "/console/installations/"),
        (tenant, "/console/batch/"),
        (tenant, "/console/skills/"),
        (Client(), "/partner/join/"),
    ]:
        response = client.get(address)
        assert response.status_code == 200, address
        assert_strict(response)


def test_no_page_shares_its_name_with_another_route():
    from django.urls import URLPattern, get_resolver

    found: dict[str, set[str]] = {}

    def walk(patterns, prefix):
        for entry in patterns:
            route = prefix + str(entry.pattern)
            if isinstance(entry, URLPattern):
                if entry.name and "format" not in route:
                    found.setdefault(entry.name, set()).add(route)
            elif not getattr(entry, "namespace", None):
                walk(entry.url_patterns, route)

    walk(get_resolver().url_patterns, "")
    shared = {
        name: routes
        for name, routes in found.items()
        if len(routes) > 1 and any("console" in r for r in routes)
    }
    assert not shared


def test_one_changes_the_own_password(org, sign_in):
    person = sign_in(org, Role.DEVELOPER)
    new = "a brand new long passphrase"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert person.client.post("/accounts/password/", form).status_code == 302
    person.user.refresh_from_db()
    assert person.user.check_password(new)
