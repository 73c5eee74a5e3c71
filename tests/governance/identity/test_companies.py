"""Company sign-in against a real OpenID provider on loopback: groups give roles, to the company's own people."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from allauth.socialaccount.models import SocialAccount
from django.db import transaction
from django.test import Client
from django.utils import timezone

from governance.errors import AccessDenied, Conflict, InvalidInput
from governance.identity.models import IdentityProvider, UserSession
from governance.identity.services import providers
from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Membership, User
from tests.governance.identity.people import LOGIN

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

SECRET = "a secret of the client"


class Provider:
    """The company's provider: `says` sets what it says of somebody."""

    def __init__(self, url: str) -> None:
        self.url = url

    def says(self, subject: str, **claims: object) -> None:
        httpx.put(f"{self.url}/users/{subject}", json=claims).raise_for_status()

    def authorise(self, address: str, subject: str) -> str:
        """What a browser is sent back to after somebody has signed in there."""
        answer = httpx.post(address, data={"sub": subject})
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]


@pytest.fixture(scope="module")
def company() -> Iterator[Provider]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "oidc_provider_mock",
        f"--port={port}",
        "--host=127.0.0.1",
    ]
    # Not ours: what it prints is of no interest, and it must not see the tests' services.
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        url = f"http://localhost:{port}"
        try:
            wait_for(f"{url}/.well-known/openid-configuration")
            yield Provider(url)
        finally:
            process.terminate()


def wait_for(url: str) -> None:
    for _attempt in range(300):
        try:
            httpx.get(url).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the provider did not start")


@pytest.fixture
def add(company: Provider):
    """`add(org, ("staff", Role.DEVELOPER))`: the tenant signs in with the company's provider."""

    def build(tenant, *mappings, **more) -> IdentityProvider:
        with platform_scope():
            return providers.add_provider(
                principal=SYSTEM,
                tenant_id=tenant.id,
                name=f"{tenant.name} SSO",
                issuer=more.pop("issuer", company.url),
                client_id=more.pop("client_id", "openclaw"),
                client_secret=SECRET,
                mappings=mappings,
                **more,
            )

    return build


def begin(client: Client, provider: IdentityProvider, following: str = "") -> str:
    answer = client.get(f"/accounts/company/{provider.pk}/", {"next": following} if following else {})
    assert answer.status_code == 302, answer.content
    return answer.headers["Location"]


def come_back(client: Client, address: str):
    parts = urlsplit(address)
    return client.get(f"{parts.path}?{parts.query}")


def sign_in(client: Client, company: Provider, provider: IdentityProvider, subject: str, following: str = ""):
    return come_back(client, company.authorise(begin(client, provider, following), subject))


def roles_of(user: User) -> set[tuple[str, str]]:
    with platform_scope(), transaction.atomic():
        return {
            (m.tenant.slug, m.role) for m in Membership.objects.filter(user=user).select_related("tenant")
        }


def test_the_first_sign_in_makes_an_account_with_the_roles_of_the_groups(org, company, add, log, everything):
    provider = add(
        org, ("staff", Role.DEVELOPER), ("bosses", Role.TENANT_ADMIN), ("science", Role.DATA_SCIENTIST)
    )
    company.says(
        "s-1",
        preferred_username="anna",
        given_name="Anna",
        email="anna@bank.example",
        groups=["staff", "science"],
    )
    client = Client()
    assert (
        sign_in(client, company, provider, "s-1", "/console/skills/").headers["Location"]
        == "/console/skills/"
    )
    assert client.get("/console/skills/").status_code == 200
    user = User.objects.get(username="anna@bank")
    assert roles_of(user) == {("bank", "developer"), ("bank", "data_scientist")}
    assert not user.has_usable_password()
    assert client.session["openclaw_factor"]["factor"] == "federated"
    assert [row.factor for row in everything(UserSession)] == ["federated"]
    assert {e.details["role"] for e in log("tenants.membership.add", tenant_id=org.id)} >= {"data_scientist"}
    link = SocialAccount.objects.get()
    assert (link.provider, link.uid, link.extra_data) == (str(provider.pk), "s-1", {"issuer": company.url})


def test_the_question_carries_state_nonce_and_a_challenge_and_nothing_from_the_address(org, company, add):
    provider = add(org, ("staff", Role.DEVELOPER))
    asked = Client().get(
        f"/accounts/company/{provider.pk}/",
        {"scope": "admin", "auth_params": "prompt=none", "process": "connect"},
    )
    query = parse_qs(urlsplit(asked.headers["Location"]).query)
    assert set(query["scope"][0].split()) == {"openid", "profile", "email"}
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["nonce"][0]) >= 24
    assert "prompt" not in query
    assert query["redirect_uri"] == [f"http://testserver/accounts/company/{provider.pk}/callback/"]


def test_nobody_gets_in_without_a_group(org, company, add, log):
    provider = add(org, ("staff", Role.DEVELOPER))
    company.says("s-2", preferred_username="ben", groups=["visitors"])
    client = Client()
    answer = sign_in(client, company, provider, "s-2")
    assert answer.status_code == 403
    assert b"None of your groups has a role here." in answer.content
    assert not User.objects.filter(username__startswith="ben").exists()
    assert not SocialAccount.objects.exists()
    (entry,) = log("identity.sign-in.federated")
    assert (entry.decision, entry.reason, entry.tenant_id) == ("deny", "no-group", org.id)


def test_roles_follow_the_groups_at_every_sign_in(org, company, add, log, member):
    member(org, Role.TENANT_ADMIN)
    groups = ("staff", Role.DEVELOPER), ("bosses", Role.TENANT_ADMIN), ("science", Role.DATA_SCIENTIST)
    provider = add(org, *groups)
    company.says("s-3", preferred_username="cleo", groups=["staff", "bosses"])
    sign_in(Client(), company, provider, "s-3")
    user = User.objects.get(username="cleo@bank")
    ends = timezone.now() + timedelta(minutes=5)  # an elevated role, which the group makes one for good
    with platform_scope(), transaction.atomic():
        Membership.objects.create(user=user, tenant=org, role=Role.DATA_SCIENTIST, expires_at=ends)
    company.says("s-3", preferred_username="cleo", groups=["staff", "science"])
    sign_in(Client(), company, provider, "s-3")
    assert roles_of(user) == {("bank", "developer"), ("bank", "data_scientist")}
    with platform_scope(), transaction.atomic():
        assert not Membership.objects.filter(user=user).exclude(expires_at=None).exists()
    (removed,) = log("tenants.membership.remove")
    assert (removed.details, removed.tenant_id) == ({"role": "tenant_admin"}, org.id)


def test_the_last_administrator_stays_one_but_gets_in_by_no_group_no_more(org, company, add, log, member):
    provider = add(org, ("bosses", Role.TENANT_ADMIN))
    company.says("s-6", preferred_username="fay", groups=["bosses"])
    sign_in(Client(), company, provider, "s-6")
    company.says("s-6", preferred_username="fay", groups=[])
    assert sign_in(Client(), company, provider, "s-6").status_code == 403
    assert roles_of(User.objects.get(username="fay@bank")) == {("bank", "tenant_admin")}
    assert "last administrator" in log("tenants.membership.remove", decision="deny")[0].reason
    member(org, Role.TENANT_ADMIN)
    assert sign_in(Client(), company, provider, "s-6").status_code == 403
    assert roles_of(User.objects.get(username="fay@bank")) == set()


def test_a_role_that_an_administrator_gave_is_not_the_providers_to_take(org, company, add):
    provider = add(org, ("staff", Role.DEVELOPER), ("bosses", Role.TENANT_ADMIN))
    company.says("s-4", preferred_username="dora", groups=["staff"])
    sign_in(Client(), company, provider, "s-4")
    user = User.objects.get(username="dora@bank")
    with platform_scope(), transaction.atomic():
        Membership.objects.create(user=user, tenant=org, role=Role.TENANT_ADMIN)
    company.says("s-4", preferred_username="dora", groups=["bosses"])
    sign_in(Client(), company, provider, "s-4")
    company.says("s-4", preferred_username="dora", groups=[])
    assert sign_in(Client(), company, provider, "s-4").status_code == 302
    assert roles_of(user) == {("bank", "tenant_admin")}


def test_who_lost_the_last_group_loses_roles_and_sessions(org, company, add):
    provider = add(org, ("staff", Role.DEVELOPER))
    company.says("s-5", preferred_username="eva", groups=["staff"])
    client = Client()
    sign_in(client, company, provider, "s-5")
    company.says("s-5", preferred_username="eva", groups=[])
    assert sign_in(Client(), company, provider, "s-5").status_code == 403
    assert roles_of(User.objects.get(username="eva@bank")) == set()
    assert client.get("/console/").status_code == 302


def test_an_account_is_never_found_by_name_or_e_mail(org, company, add, member):
    local = member(org, Role.TENANT_ADMIN, username="frida@bank")
    local.email = "frida@bank.example"
    local.save()
    provider = add(org, ("staff", Role.DEVELOPER))
    company.says(
        "s-6", preferred_username="frida", email="frida@bank.example", email_verified=True, groups=["staff"]
    )
    client = Client()
    sign_in(client, company, provider, "s-6")
    assert client.session["_auth_user_id"] != str(local.pk)
    assert User.objects.get(pk=client.session["_auth_user_id"]).username == "frida-2@bank"


def test_one_companys_provider_never_opens_accounts_of_another(org, other_org, company, add, log):
    """Both use the same issuer and the same person; the accounts stay apart."""
    ours, theirs = add(org, ("staff", Role.TENANT_ADMIN)), add(other_org, ("staff", Role.DEVELOPER))
    company.says("s-7", preferred_username="gita", groups=["staff"])
    sign_in(Client(), company, ours, "s-7")
    sign_in(Client(), company, theirs, "s-7")
    assert roles_of(User.objects.get(username="gita@bank")) == {("bank", "tenant_admin")}
    assert roles_of(User.objects.get(username="gita@plant")) == {("plant", "developer")}


def test_an_answer_meant_for_one_provider_is_worth_nothing_at_another(org, other_org, company, add):
    ours, theirs = add(org, ("staff", Role.TENANT_ADMIN)), add(other_org, ("staff", Role.DEVELOPER))
    company.says("s-8", preferred_username="hugo", groups=["staff"])
    client = Client()
    back = company.authorise(begin(client, theirs), "s-8")
    answer = come_back(client, back.replace(str(theirs.pk), str(ours.pk)))
    assert answer.status_code == 403
    assert not User.objects.filter(username__startswith="hugo").exists()


def test_an_account_with_roles_elsewhere_is_not_the_companys_to_open(org, other_org, company, add, log):
    provider = add(org, ("staff", Role.DEVELOPER))
    company.says("s-9", preferred_username="ida", groups=["staff"])
    sign_in(Client(), company, provider, "s-9")
    with platform_scope(), transaction.atomic():
        Membership.objects.create(
            user=User.objects.get(username="ida@bank"), tenant=other_org, role=Role.TENANT_ADMIN
        )
    client = Client()
    answer = sign_in(client, company, provider, "s-9")
    assert answer.status_code == 403
    assert "_auth_user_id" not in client.session
    assert b"Plant" not in answer.content
    assert log("identity.sign-in.federated")[-1].reason == "roles-elsewhere"


def test_a_provider_that_asked_for_a_second_factor_is_believed(org, company, add):
    provider = add(org, ("staff", Role.DEVELOPER))
    company.says("s-10", preferred_username="jan", groups=["staff"], amr=["pwd", "mfa"])
    client = Client()
    sign_in(client, company, provider, "s-10")
    assert client.session["openclaw_factor"]["factor"] == "otp"


@pytest.mark.parametrize("lost", ["state", "code"])
def test_a_way_back_that_nobody_was_sent_on_opens_nothing(org, company, add, lost):
    provider = add(org, ("staff", Role.DEVELOPER))
    company.says("s-11", preferred_username="kim", groups=["staff"])
    client = Client()
    back = company.authorise(begin(client, provider), "s-11")
    answer = come_back(Client() if lost == "state" else client, back.replace("code=", "no="))
    assert answer.status_code == 403
    assert not User.objects.filter(username__startswith="kim").exists()


def test_a_code_that_was_used_opens_nothing_again(org, company, add, log):
    provider = add(org, ("staff", Role.DEVELOPER))
    company.says("s-12", preferred_username="lea", groups=["staff"])
    thief = Client()
    back = company.authorise(begin(thief, provider), "s-12")
    assert come_back(thief, back).status_code == 302
    thief.post("/accounts/logout/")
    begin(thief, provider)
    assert come_back(thief, back).status_code == 403


def test_a_replaced_nonce_is_noticed(org, company, add, log):
    provider = add(org, ("staff", Role.DEVELOPER))
    company.says("s-13", preferred_username="max", groups=["staff"])
    client = Client()
    address = begin(client, provider)
    nonce = parse_qs(urlsplit(address).query)["nonce"][0]
    back = company.authorise(address.replace(nonce, "0" * len(nonce)), "s-13")
    assert come_back(client, back).status_code == 403
    assert log("identity.sign-in.federated")[-1].reason == "the nonce is not the one that was sent"


def test_another_issuer_at_the_discovery_address_is_noticed(org, company, add, log):
    provider = add(
        org,
        ("staff", Role.DEVELOPER),
        issuer="http://localhost:1",
        discovery_url=f"{company.url}/.well-known/openid-configuration",
    )
    answer = Client().get(f"/accounts/company/{provider.pk}/")
    assert answer.status_code == 403
    assert "discovery document" in log("identity.sign-in.federated")[-1].reason


def test_a_provider_that_does_not_answer_is_told_kindly(org, add):
    provider = add(org, ("staff", Role.DEVELOPER), issuer="http://localhost:1")
    assert b"did not work" in Client().get(f"/accounts/company/{provider.pk}/").content


def test_a_disabled_provider_and_a_suspended_tenant_let_nobody_in(org, company, add):
    provider = add(org, ("staff", Role.DEVELOPER))
    company.says("s-14", preferred_username="nina", groups=["staff"])
    client = Client()
    back = company.authorise(begin(client, provider), "s-14")
    with platform_scope():
        providers.change_provider(principal=SYSTEM, provider_id=provider.pk, enabled=False)
    assert come_back(client, back).status_code == 404
    assert Client().get("/accounts/company/", {"company": "bank"}).status_code == 404


def test_the_page_of_companies_tells_nobody_who_the_tenants_are(org, other_org, add):
    add(org, ("staff", Role.DEVELOPER))
    page = Client().get("/accounts/company/")
    assert b"Bank" not in page.content
    known = Client().get("/accounts/company/", {"company": "bank", "next": "/console/"})
    assert known.status_code == 302
    assert known.headers["Location"].endswith("?next=%2Fconsole%2F")
    without, nobody = (
        Client().get("/accounts/company/", {"company": slug}) for slug in ("plant", "no-such-tenant")
    )
    assert without.status_code == nobody.status_code == 404


def test_proving_again_goes_to_the_company_and_asks_anew(org, company, add):
    provider = add(org, ("staff", Role.DEVELOPER))
    company.says("s-15", preferred_username="olga", groups=["staff"])
    client = Client()
    sign_in(client, company, provider, "s-15")
    page = client.get("/accounts/reauthenticate/?level=1&next=/console/").content.decode()
    assert f"/accounts/company/{provider.pk}/?next=/console/" in page
    query = parse_qs(urlsplit(begin(client, provider)).query)
    assert (query["prompt"], query["max_age"]) == (["login"], ["0"])
    assert sign_in(client, company, provider, "s-15", "/console/").headers["Location"] == "/console/"
    assert client.get("/console/").status_code == 200


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


def test_two_first_sign_ins_at_once_make_one_account(org, company, add):
    provider = add(org, ("staff", Role.DEVELOPER))
    company.says("s-16", preferred_username="paula", groups=["staff"])
    clients = [Client(raise_request_exception=False) for _each in range(2)]
    ways = [company.authorise(begin(client, provider), "s-16") for client in clients]
    answers = []
    with running(
        *(lambda c=c, w=w: answers.append(come_back(c, w)) for c, w in zip(clients, ways, strict=True))
    ):
        pass
    assert [answer.status_code for answer in answers] == [302, 302]
    assert SocialAccount.objects.filter(uid="s-16").count() == 1
    assert User.objects.filter(username__startswith="paula").count() == 1


@contextmanager
def running(*jobs) -> Iterator[None]:
    from django.db import connection

    def work(job):
        try:
            job()
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(timeout=60)


def test_signing_in_with_the_company_stands_on_the_sign_in_page(org):
    assert b"/accounts/company/" in Client().get(LOGIN).content
