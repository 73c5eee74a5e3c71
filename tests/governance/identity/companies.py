"""A company's sign-in under test: its OpenID provider, and the ways of a browser to it and back."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import httpx
import pytest
from django.db import transaction
from django.test import Client

from governance.identity.models import IdentityProvider
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, User

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


def wait_for(url: str) -> None:
    for _attempt in range(300):
        try:
            httpx.get(url).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the provider did not start")


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
