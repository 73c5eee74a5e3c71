"""Making OAuth 2.0 clients: the secret is shown once, works, and stops working."""

from __future__ import annotations

import re

import pytest
from django.db import transaction
from oauth2_provider.models import AccessToken

from governance.access.models import Application
from governance.principals import Role
from governance.tenants.context import platform_scope
from tests.factories.governance import bearer_token

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def stored(client_id: str) -> Application:
    """The client, read with the platform's eyes."""
    with platform_scope(), transaction.atomic():
        return Application.objects.select_related("service_user", "tenant").get(client_id=client_id)


def make(client, **form):
    page = client.post("/applications/", form)
    found = dict(re.findall(r'<code id="(client-id|client-secret)">([^<]+)</code>', page.content.decode()))
    return page, found


def test_the_secret_is_shown_once_and_works(platform, org, sign_in):
    person = sign_in(org, Role.TENANT_ADMIN)
    page, found = make(person.client, name="invoices", scopes=["models:infer"])
    assert page.headers["Cache-Control"].find("no-store") >= 0
    application = stored(found["client-id"])
    assert application.allowed_scopes == ["models:infer"]
    assert bearer_token(application, found["client-secret"])
    assert found["client-secret"] not in person.client.get("/applications/").content.decode()
    person.client.post(f"/applications/{application.pk}/disable/")
    assert stored(found["client-id"]).disabled_at is not None


def test_a_partner_gets_a_client_for_the_command_line(partner_org, sign_in):
    person = sign_in(partner_org, Role.PARTNER)
    _page, found = make(person.client, name="ci", scopes=["plugins:read", "plugins:write"])
    application = stored(found["client-id"])
    with platform_scope(), transaction.atomic():
        roles = set(application.service_user.memberships.values_list("role", flat=True))
    assert roles == {Role.PARTNER.value}


def test_a_developer_sees_but_does_not_make_clients(org, sign_in):
    client = sign_in(org, Role.DEVELOPER).client
    assert b"New client" not in client.get("/applications/").content
    assert client.post("/applications/", {"name": "x", "scopes": ["models:infer"]}).status_code == 403


def test_a_partner_cannot_ask_for_more_scopes(partner_org, sign_in):
    page, found = make(sign_in(partner_org, Role.PARTNER).client, name="x", scopes=["tenant:manage"])
    assert page.status_code == 200
    assert not found


def test_another_tenants_clients_are_out_of_reach(org, other_org, sign_in):
    _page, found = make(sign_in(org, Role.TENANT_ADMIN).client, name="invoices", scopes=["models:infer"])
    application = stored(found["client-id"])
    stranger = sign_in(other_org, Role.TENANT_ADMIN).client
    assert "invoices" not in stranger.get("/applications/").content.decode()
    assert stranger.post(f"/applications/{application.pk}/disable/").status_code in (403, 404)


def test_bound_tokens_are_required_and_no_longer_with_a_button(org, other_org, sign_in):
    person = sign_in(org, Role.TENANT_ADMIN)
    _page, found = make(person.client, name="invoices", scopes=["models:infer"])
    application = stored(found["client-id"])
    bearer_token(application, found["client-secret"])
    path = f"/applications/{application.pk}/require-dpop/"
    assert path in person.client.get("/applications/").content.decode()
    answer = person.client.post(path, {"required": "yes"}, follow=True)
    assert "only with a proof of its key" in answer.content.decode()
    assert stored(found["client-id"]).require_dpop
    with platform_scope(), transaction.atomic():
        assert not AccessToken.objects.filter(application=application).exists()
    assert "Allow unbound tokens" in person.client.get("/applications/").content.decode()
    for stranger in (sign_in(other_org, Role.TENANT_ADMIN), sign_in(org, Role.DEVELOPER)):
        assert stranger.client.post(path, {"required": "no"}).status_code in (403, 404)
    assert stored(found["client-id"]).require_dpop
    person.client.post(path, {"required": "no"})
    assert not stored(found["client-id"]).require_dpop
    assert bearer_token(stored(found["client-id"]), found["client-secret"])


def test_a_client_that_people_authorise_is_made_with_where_they_return_to(platform, org, sign_in):
    person = sign_in(org, Role.TENANT_ADMIN)
    asked = {"name": "script", "scopes": ["tenant:manage", "requests:decide"]}
    page, found = make(person.client, **asked)
    assert not found
    assert "Only an application that people authorise can have these scopes: requests:decide." in (
        page.content.decode()
    )
    page, found = make(person.client, **asked, redirect_uris="http://app.example.com/back")
    assert not found
    assert "is no address that people can be sent back to" in page.content.decode()
    _page, found = make(person.client, **asked, redirect_uris="https://app.example.com/back\n")
    application = stored(found["client-id"])
    assert application.authorization_grant_type == Application.GRANT_AUTHORIZATION_CODE
    assert application.redirect_uris == "https://app.example.com/back"
