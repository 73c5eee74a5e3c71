"""What a request that succeeds writes into an audit chain is one insert, at every address that there is."""

from __future__ import annotations

import json
from collections import Counter
from uuid import UUID

import pytest
from django.test import Client

from governance.audit.holding import HeldEntries
from tests.factories.house import House
from tests.isolation.answers import filled, of_objects, plain
from tests.isolation.twins import Twins
from tests.site.meta.test_endpoint_permissions import METHODS, Browser
from tests.site.meta.test_row_security import superuser

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("valkey"),
    pytest.mark.timeout(900),
]

# Who does what, and in whose objects.
WALKED_BY = {"tenant_admin": "organisation", "platform_admin": "platform", "partner": "partner"}
# Whatever one of them asks for, as a form or a body.
SAID = {
    "days": 365,
    "description": "of some use",
    "from": "2026-01-01",
    "label": "confidential",
    "name": "another-name",
    "note": "because it must be",
    "reason": "because it must be",
    "text": "because it must be",
    "title": "A title",
}


@pytest.fixture
def appended(monkeypatch) -> list[tuple[UUID, tuple[str, ...]]]:
    """Chain and actions of every insert."""
    seen: list[tuple[UUID, tuple[str, ...]]] = []
    append = HeldEntries._append

    def see(self, chain, entries):
        seen.append((chain, tuple(entry.action for entry in entries)))
        append(self, chain, entries)

    monkeypatch.setattr(HeldEntries, "_append", see)
    return seen


def asks(browser: Client, method: str, address: str) -> int:
    if method == "GET":
        return browser.get(address).status_code
    if method == "POST" and not address.startswith("/api/"):
        return browser.post(address, SAID).status_code
    return browser.generic(method, address, json.dumps(SAID), content_type="application/json").status_code


def test_a_request_that_succeeds_is_one_insert_into_a_chain(services, appended):
    house = House()
    house.furnish(2)
    several, wrote, succeeded = [], 0, 0
    with superuser(services) as everything:
        everything.autocommit = True
        for role, kind in WALKED_BY.items():
            browser = Browser(raise_request_exception=False)
            browser.sign_in(house.people[role])
            rows = Twins(everything, house.tenants[kind].id)
            addresses = [(address, METHODS[:2]) for address in plain()]
            for route, methods, label in of_objects():
                # Of the objects of an app one is what the address is about; the others are not found, which is quick.
                changing = tuple(method for method in methods if method != "GET") or methods
                addresses += [(filled(route, own), changing) for own in rows.ids_of(label)]
            for address, methods in addresses:
                for method in methods:
                    appended.clear()
                    status = asks(browser, method, address)
                    if browser.session.session_key != browser.signed_in_with:
                        browser.sign_in(house.people[role])
                    if status >= 400:
                        continue
                    succeeded += 1
                    wrote += bool(appended)
                    if any(times > 1 for times in Counter(chain for chain, _actions in appended).values()):
                        several.append((role, method, address, [actions for _chain, actions in appended]))
    assert succeeded > 300
    assert wrote > 20
    assert not several, "Let these be one transaction, or write their entries at its end: " + "\n".join(
        map(str, several)
    )
