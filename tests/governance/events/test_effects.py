"""What security events do: to whom, to which sessions, tokens and devices, and to nobody else's."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import transaction
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import get_access_token_model

from governance.access.models import RegisteredDevice, TokenBinding
from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, InvalidInput
from governance.events import services
from governance.events.models import ReceivedEvent
from governance.principals import Factor, Role
from governance.tenants.context import platform_scope, tenant_context
from tests.factories.governance import PASSWORD, make_application
from tests.governance.events.conftest import CAEP, Company

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def signed_in(user) -> Client:
    browser = Client()
    answer = browser.post("/accounts/login/", {"username": user.username, "password": PASSWORD})
    assert answer.status_code == 302, answer.content[:300]
    assert is_signed_in(browser)
    return browser


def is_signed_in(browser: Client) -> bool:
    return browser.get("/accounts/password/").status_code == 200


def token_for(user, tenant):
    application, _secret = make_application(tenant, scopes=["tenant:manage"], owner=user)
    with platform_scope(), transaction.atomic():
        return get_access_token_model().objects.create(
            user=user,
            application=application,
            token=f"t{user.pk}{tenant.pk}",
            expires=timezone.now() + timedelta(hours=1),
            scope="tenant:manage",
        )


def events() -> list[ReceivedEvent]:
    with platform_scope(), transaction.atomic():
        return list(ReceivedEvent.objects.order_by("id"))


def exists(row) -> bool:
    with platform_scope(), transaction.atomic():
        return type(row).objects.filter(pk=row.pk).exists()


def test_session_revoked_ends_the_persons_sessions_and_tokens_and_nobody_elses(
    company, org, other_org, person, about, member
):
    browser, bystander = signed_in(person), signed_in(member(org, Role.DEVELOPER))
    token, elsewhere = token_for(person, org), token_for(person, other_org)
    claims = company.claims(subject=about, reason_admin={"en": "Lost laptop"})
    assert company.push(company.signed(claims)).status_code == 202
    assert not is_signed_in(browser)
    assert is_signed_in(bystander)
    assert (exists(token), exists(elsewhere)) == (False, True), (
        "another company's tokens are not its business"
    )
    (event,) = events()
    assert (event.state, event.user_id, event.reason) == ("applied", person.id, "Lost laptop")
    with platform_scope(), transaction.atomic():
        entry = AuditEntry.objects.get(action="events.event.receive", decision="allow")
        assert (entry.actor_label, entry.tenant_id) == ("company", org.id)


@pytest.mark.parametrize("kind", ["credential-change", "token-claims-change", "assurance-level-change"])
def test_an_identity_in_doubt_must_be_proven_again(company, person, about, kind):
    browser = signed_in(person)
    assert browser.session["openclaw_factor"]
    claims = company.claims(kind, subject=about, change_direction="decrease", change_type="revoke")
    assert company.push(company.signed(claims)).status_code == 202
    fresh = Client()
    fresh.cookies = browser.cookies
    assert "openclaw_factor" not in fresh.session
    assert events()[0].state == "applied"


def test_a_company_takes_the_proof_out_of_tokens_for_itself_only(company, org, other_org, person, about):
    bindings = {}
    for tenant in (org, other_org):
        token = token_for(person, tenant)
        with platform_scope(), transaction.atomic():
            bindings[tenant] = TokenBinding.objects.create(
                tenant=tenant, access_token=token, factor=Factor.PASSKEY.value, factor_at=timezone.now()
            )
    assert company.push(company.signed(company.claims("credential-change", subject=about))).status_code == 202
    with platform_scope(), transaction.atomic():
        found = {tenant: TokenBinding.objects.get(pk=row.pk).factor for tenant, row in bindings.items()}
    assert found == {org: "none", other_org: "passkey"}


def test_more_assurance_is_proven_here_and_not_told(company, person, about):
    browser = signed_in(person)
    claims = company.claims("assurance-level-change", subject=about, change_direction="increase")
    assert company.push(company.signed(claims)).status_code == 202
    assert is_signed_in(browser)
    assert browser.session["openclaw_factor"]
    assert events()[0].state == "ignored"


def test_a_company_speaks_about_its_own_people_only(company, other_org, member):
    stranger = member(other_org, Role.DEVELOPER)
    stranger.email = "s@plant.example"
    stranger.save(update_fields=["email"])
    browser = signed_in(stranger)
    for subject in (
        {"format": "email", "email": stranger.email},
        {"format": "opaque", "id": str(stranger.pk)},
        {"format": "opaque", "id": stranger.username},
    ):
        assert company.push(company.signed(company.claims(subject=subject))).status_code == 202
    assert is_signed_in(browser)
    assert {event.state for event in events()} == {"nobody"}


@pytest.mark.parametrize("shape", ["opaque", "username", "complex", "aliases", "draft"])
def test_people_are_found_by_every_kind_of_identifier(company, person, about, shape):
    subject = {
        "opaque": {"format": "opaque", "id": str(person.pk)},
        "username": {"format": "opaque", "id": person.username},
        "complex": {"format": "complex", "user": about, "tenant": {"format": "opaque", "id": "x"}},
        "aliases": {"format": "aliases", "identifiers": [{"format": "did", "url": "did:x"}, about]},
        "draft": None,
    }[shape]
    claims = company.claims(subject=subject)
    if shape == "draft":  # earlier drafts put the subject into the event
        del claims["sub_id"]
        claims["events"][f"{CAEP}session-revoked"]["subject"] = about
    assert company.push(company.signed(claims)).status_code == 202
    assert events()[0].user_id == person.id


def test_a_person_of_the_companys_sign_in_is_found_by_issuer_and_subject(company, org, person):
    from allauth.socialaccount.models import SocialAccount

    from governance.identity.models import IdentityProvider

    with platform_scope(), transaction.atomic():
        provider = IdentityProvider.objects.create(
            tenant=org, name="idp", issuer="https://idp.example", discovery_url="https://x", client_id="c"
        )
        SocialAccount.objects.create(provider=str(provider.pk), uid="sub-1", user=person)
    for issuer, found in (("https://idp.example", person.id), ("https://other.example", None)):
        subject = {"format": "iss_sub", "iss": issuer, "sub": "sub-1"}
        assert company.push(company.signed(company.claims(subject=subject))).status_code == 202
        assert events()[-1].user_id == found


def test_a_devices_posture_is_what_the_company_says(company, org, other_org, person, about):
    with platform_scope(), transaction.atomic():
        laptop, phone = (
            RegisteredDevice.objects.create(tenant=org, user=person, name=name, jkt=name * 3)
            for name in ("laptop", "phone")
        )
        foreign = RegisteredDevice.objects.create(tenant=other_org, user=person, name="x", jkt="laptop" * 3)
    device = {"format": "opaque", "id": laptop.jkt}
    claims = company.claims(
        "device-compliance-change",
        subject={"format": "complex", "user": about, "device": device},
        previous_status="compliant",
        current_status="not-compliant",
    )
    assert company.push(company.signed(claims)).status_code == 202
    with platform_scope(), transaction.atomic():
        for row in (laptop, phone, foreign):
            row.refresh_from_db()
    assert (laptop.posture, laptop.source) == ("not_compliant", "company")
    assert (phone.posture, foreign.posture) == ("unknown", "unknown")


def test_an_unknown_kind_of_event_is_taken_and_does_nothing(company, person, about):
    browser = signed_in(person)
    claims = company.claims("weather-change", subject=about)
    assert company.push(company.signed(claims)).status_code == 202
    assert is_signed_in(browser)
    assert events()[0].state == "ignored"


class TestTransmitters:
    """Who may be believed, and who says so."""

    def add(self, principal, **options):
        with tenant_context(principal.tenant_id):
            return services.add_transmitter(principal=principal, name="n", issuer="i", **options)

    @pytest.fixture
    def admin(self, org, principal_for):
        return principal_for(org, Role.TENANT_ADMIN)

    def test_a_developer_may_not(self, org, principal_for, company):
        with pytest.raises(AccessDenied):
            self.add(principal_for(org, Role.DEVELOPER), jwks={"keys": []})

    @pytest.mark.parametrize(
        "jwks",
        [
            {},
            {"keys": []},
            {"keys": "x"},
            {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]},
            {"keys": [{"kty": "EC"}]},
            {"keys": [{"kty": "RSA", "n": "x" * 100, "e": "AQAB"}]},
        ],
    )
    def test_keys_that_are_none_or_weak_are_refused(self, admin, jwks):
        with pytest.raises(InvalidInput):
            self.add(admin, jwks=jwks)

    def test_a_secret_key_is_refused(self, admin, company):
        with pytest.raises(InvalidInput, match="secret"):
            self.add(admin, jwks={"keys": [company.key.export_private(as_dict=True)]})

    @pytest.mark.parametrize(
        "url", ["http://idp.example/jwks", "file:///etc/passwd", "https://u:p@idp.example"]
    )
    def test_an_address_that_would_never_be_asked_is_refused(self, admin, url):
        with pytest.raises(InvalidInput):
            self.add(admin, jwks_url=url)

    def test_only_the_platform_says_that_an_address_is_internal(self, admin):
        with pytest.raises(AccessDenied):
            self.add(admin, jwks_url="https://idp.example", internal_network=True)

    def test_the_same_issuer_and_audience_twice_is_a_conflict(self, admin, company):
        jwks = {"keys": [company.key.export_public(as_dict=True)]}
        self.add(admin, jwks=jwks)
        with pytest.raises(Conflict):
            self.add(admin, jwks=jwks)

    def test_the_page_the_api_and_the_command_tell_the_same(self, org, member, company, person, about):
        assert company.push(company.signed(company.claims(subject=about))).status_code == 202
        browser = signed_in(member(org, Role.TENANT_ADMIN))
        page = browser.get("/console/events/").content.decode()
        assert company.address in page
        assert "session-revoked" in page
        (row,) = browser.get("/api/v1/security-events/").json()["results"]
        assert row["state"] == "applied"
        (row,) = browser.get("/api/v1/event-transmitters/").json()["results"]
        assert row["deliver_to"].endswith(company.address)
        out = StringIO()
        call_command("events", "transmitters", stdout=out)
        call_command("events", "received", stdout=out)
        assert company.address in out.getvalue()
        assert "session-revoked" in out.getvalue()


def test_two_companies_do_not_see_each_others_events(org, other_org, member):
    companies = [Company(org), Company(other_org)]
    for company in companies:
        assert company.push(company.signed(company.claims())).status_code == 202
    browser = signed_in(member(org, Role.TENANT_ADMIN))
    (row,) = browser.get("/api/v1/security-events/").json()["results"]
    assert row["transmitter"] == str(companies[0].transmitter.pk)
