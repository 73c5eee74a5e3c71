"""Questions to a company's provider and its answers: what is forged, replayed or meant for another opens nothing."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from governance.principals import Role
from governance.tenants.models import User
from tests.governance.identity.companies import begin, come_back, sign_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


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


def test_an_answer_meant_for_one_provider_is_worth_nothing_at_another(org, other_org, company, add):
    ours, theirs = add(org, ("staff", Role.TENANT_ADMIN)), add(other_org, ("staff", Role.DEVELOPER))
    company.says("s-8", preferred_username="hugo", groups=["staff"])
    client = Client()
    back = company.authorise(begin(client, theirs), "s-8")
    answer = come_back(client, back.replace(str(theirs.pk), str(ours.pk)))
    assert answer.status_code == 403
    assert not User.objects.filter(username__startswith="hugo").exists()


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
