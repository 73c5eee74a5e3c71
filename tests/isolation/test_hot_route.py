"""Isolation of `/v2`, generated from its addresses: two tenants of one shape on the real site, and neither is told
of the other by status, text, headers, lengths, statistics or index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from django.db import transaction

from inference.serving.addresses import ADDRESSES, Address
from tests.factories.inference import make_endpoint, make_version
from tests.inference.serving.conftest import site_url  # noqa: F401 the fixture is used by its name
from tests.inference.serving.site_house import BODY, House

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.live]

# Every name that one tenant has alone is as long as one that nobody has.
TWINS, NOBODYS = ("hidden", "7.7.7"), ("absent", "8.8.8")
OWN = ("adder", "1.0.0")
CHANGING = {"date", "connection"}  # the moment, and whether the connection is used again
ABOUT_ONE = [address for address in ADDRESSES if address.names_something]
READING = [address for address in ADDRESSES if "GET" in address.methods or address.path.endswith("/index")]


@dataclass(frozen=True)
class Answer:
    """What one call tells: everything but the moment."""

    status: int
    headers: tuple[tuple[str, str], ...]
    text: str

    def about(self, names: tuple[str, str]) -> Answer:
        """The same, with the names that were asked for made anonymous."""
        text, headers = self.text, self.headers
        for name, word in zip(names, ("NAME", "VERSION"), strict=True):
            text = text.replace(name, word)
            headers = tuple((key, value.replace(name, word)) for key, value in headers)
        return Answer(self.status, headers, text)


class Site:
    """The hot route as one caller sees it."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, address: Address, method: str, names: tuple[str, str]) -> Answer:
        body: Any = BODY if address.path.endswith("/infer") else {}
        given: dict[str, Any] = {"json": body} if method == "POST" else {}
        answer = httpx.request(method, self._url + address.of(*names), headers=self._token, **given)
        headers = sorted((k, v) for k, v in answer.headers.items() if k not in CHANGING)
        return Answer(answer.status_code, tuple(headers), answer.text)

    def everything_it_reads(self) -> dict[tuple[str, str], Answer]:
        """Index, statistics, metadata, configuration and readiness of what is its own."""
        return {
            (address.path, method): self.ask(address, method, OWN)
            for address in READING
            for method in address.methods
        }


def calls() -> Iterator[tuple[Address, str]]:
    for address in ABOUT_ONE:
        for method in address.methods:
            yield address, method


def settle(house: House) -> None:
    """A second endpoint and a second version that only this tenant has, named for what the other asks."""
    version = make_version(house.principal, version=TWINS[1])
    make_endpoint(house.principal, version, name=TWINS[0])
    make_endpoint(house.principal, version, name="both")


def ids_of(house: House) -> set[str]:
    from governance.tenants.context import platform_scope
    from inference.registry.models import ModelVersion
    from inference.rollouts.models import Endpoint

    with platform_scope(), transaction.atomic():
        rows = [
            *Endpoint.objects.filter(tenant=house.tenant),
            *ModelVersion.objects.filter(tenant=house.tenant),
        ]
    return {str(row.pk) for row in rows} | {
        str(house.tenant.pk),
        house.tenant.slug,
        house.application.client_id,
    }


def test_no_address_tells_a_tenant_of_its_twin(site_url: str) -> None:  # noqa: F811 the fixture
    bank, plant = House("bank"), House("plant")
    settle(plant)
    caller, twin = Site(site_url, bank.token), Site(site_url, plant.token)
    assert twin.ask(ABOUT_ONE[-1], "GET", OWN).status == 200
    foreign = ids_of(plant)
    assert len(foreign) >= 7
    answered = 0
    for address, method in calls():
        # Another's endpoint, and a version that only another's endpoint of the same name has, are as nothing is.
        for theirs, nothing in ((TWINS, NOBODYS), ((OWN[0], TWINS[1]), (OWN[0], NOBODYS[1]))):
            if theirs[0] == OWN[0] and "{version}" not in address.path:
                continue
            told, expected = (caller.ask(address, method, names) for names in (theirs, nothing))
            case = f"{method} {address.path} {theirs}"
            assert told.about(theirs) == expected.about(nothing), case
            assert told.status == 404, case
            assert len(told.text) == len(expected.text), case
            assert not [id_ for id_ in foreign if id_ in told.text], case
            answered += 1
    assert answered > len(ABOUT_ONE)


def test_what_a_twin_does_shows_nowhere(site_url: str) -> None:  # noqa: F811 the fixture
    bank = House("bank")
    caller = Site(site_url, bank.token)
    infer = next(address for address in ADDRESSES if address.path.endswith("{endpoint}/infer"))
    assert caller.ask(infer, "POST", OWN).status == 200
    caller.everything_it_reads()  # a first look may load a version, and from then on it is loaded
    before = caller.everything_it_reads()
    assert before["/v2/repository/index", "POST"].text.count('"READY"') == 1
    # The twin appears, of the same shape and more, and does whatever can be done.
    plant = House("plant")
    settle(plant)
    twin = Site(site_url, plant.token)
    for address, method in calls():
        for names in (OWN, TWINS, NOBODYS):
            twin.ask(address, method, names)
    assert twin.ask(infer, "POST", OWN).status == 200
    after = caller.everything_it_reads()
    assert after == before
    foreign = ids_of(plant) | set(TWINS)
    assert not [id_ for id_ in foreign for answer in after.values() if id_ in answer.text]


def test_without_a_token_every_name_is_the_same(site_url: str) -> None:  # noqa: F811 the fixture
    settle(House("plant"))
    for token in ("", "made-up"):
        nobody = Site(site_url, token)
        for address, method in calls():
            told, expected = (nobody.ask(address, method, names) for names in (TWINS, NOBODYS))
            assert (told.status, told.about(TWINS)) == (401, expected.about(NOBODYS)), address.path
