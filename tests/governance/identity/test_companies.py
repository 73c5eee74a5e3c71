"""Company sign-in against a real OpenID provider on loopback: groups give roles, to the company's own people."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from allauth.socialaccount.models import SocialAccount
from django.db import transaction
from django.test import Client
from django.utils import timezone

from governance.identity.models import UserSession
from governance.identity.services import providers
from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, User
from tests.governance.identity.companies import begin, come_back, roles_of, sign_in
from tests.governance.identity.people import LOGIN

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


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
