"""Keeping a company's provider: by administrators of its tenant, with its secret sealed."""

from __future__ import annotations

import pytest
from django.db import transaction

from governance.errors import AccessDenied, Conflict, InvalidInput
from governance.identity.models import IdentityProvider
from governance.identity.services import providers
from governance.principals import Role
from governance.tenants.context import tenant_context
from tests.governance.identity.companies import SECRET

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


class TestKeeping:
    """Providers are kept by administrators of their tenant."""

    def test_the_secret_is_sealed_and_never_shown(self, org, add, person, log, everything):
        provider = add(org, ("staff", Role.DEVELOPER))
        assert SECRET not in provider.sealed_secret
        assert providers.secret_of(provider) == SECRET
        admin = person(org, Role.TENANT_ADMIN)
        page = admin.client.get(f"/console/identity/providers/{provider.pk}/")
        assert SECRET not in page.content.decode()
        assert SECRET not in str([(e.details, e.reason) for e in log()])
        listed = admin.client.get("/api/v1/identity-providers/").json()["results"]
        assert (listed[0]["has_secret"], SECRET in str(listed)) == (True, False)

    def test_from_the_console(self, org, company, person):
        admin = person(org, Role.TENANT_ADMIN)
        assert admin.client.get("/console/identity/providers/new/").status_code == 200
        form = {
            "name": "Bank",
            "issuer": company.url,
            "client_id": "openclaw",
            "client_secret": "x",
            "group_claim": "groups",
            "mappings": "staff = developer\nthe bosses=tenant_admin\n",
        }
        assert admin.post("/console/identity/providers/new/", **form).status_code == 302
        page = admin.client.get("/console/identity/providers/").content.decode()
        assert "staff → developer" in page
        (row,) = admin.client.get("/api/v1/identity-providers/").json()["results"]
        path = f"/console/identity/providers/{row['id']}/"
        changed = {"name": "Bank 2", "group_claim": "groups", "mappings": "staff = data_scientist"}
        assert admin.post(path, **changed).status_code == 302
        (row,) = admin.client.get("/api/v1/identity-providers/").json()["results"]
        assert (row["name"], row["enabled"], row["has_secret"]) == ("Bank 2", False, True)
        assert row["mappings"] == [{"value": "staff", "role": "data_scientist"}]

    @pytest.mark.parametrize(
        "line", ["staff", "= developer", "staff =", "staff = platform_admin", "staff = nobody"]
    )
    def test_a_line_that_makes_no_sense_is_explained(self, org, company, person, line, everything):
        admin = person(org, Role.TENANT_ADMIN)
        answer = admin.post(
            "/console/identity/providers/new/", name="B", issuer=company.url, client_id="c", mappings=line
        )
        assert answer.status_code == 200
        assert b'role="alert"' in answer.content
        assert everything(IdentityProvider) == []

    @pytest.mark.parametrize(
        "issuer",
        [
            "http://idp.example",
            "ftp://idp.example",
            "https://user:pass@idp.example",
            "file:///etc/passwd",
            "idp",
        ],
    )
    def test_an_address_that_would_never_be_asked_is_refused(self, org, add, issuer):
        with pytest.raises(InvalidInput):
            add(org, issuer=issuer)

    def test_one_provider_is_kept_once_per_tenant(self, org, other_org, add):
        add(org)
        add(other_org)
        with pytest.raises(Conflict):
            add(org)

    def test_the_internal_network_is_the_platforms_to_open(self, org, add, person, sign_in_principal):
        provider = add(org)
        admin = sign_in_principal(person(org, Role.TENANT_ADMIN).user, org)
        with tenant_context(org.id), transaction.atomic(), pytest.raises(AccessDenied):
            providers.change_provider(principal=admin, provider_id=provider.pk, internal_network=True)

    def test_another_tenant_neither_sees_nor_changes_it(self, org, other_org, add, person):
        provider = add(org, ("staff", Role.DEVELOPER))
        stranger = person(other_org, Role.TENANT_ADMIN)
        assert stranger.client.get("/api/v1/identity-providers/").json()["results"] == []
        assert stranger.client.get(f"/console/identity/providers/{provider.pk}/").status_code == 404
        assert stranger.client.get(f"/api/v1/identity-providers/{provider.pk}/").status_code == 404
