"""What one tenant has does not exist for another: every address of a real object, tried by its neighbours."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client

from governance.principals import Role
from tests.factories.governance import make_member, make_tenant
from tests.factories.house import House
from tests.site.meta.test_endpoint_permissions import TABLE

# Transactions are real: what a refusal writes is written after the view's own was rolled back.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

OWNERS = ("tenant_admin", "partner")
# A published plugin is everybody's to read.
EVERYBODYS = {"plugins", "plugin-versions"}
PAGES = {
    "endpoints": "console/endpoints/",
    "skills": "console/skills/",
    "batch-jobs": "console/batch/",
    "submissions": "partner/submissions/",
    "applications": "applications/",
}
PARAMETER = re.compile(r"\(\?P<(\w+)>[^)]*\)|<(?:\w+:)?(\w+)>")


def signed_in(person) -> Client:
    browser = Client(raise_request_exception=False)
    browser.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return browser


@pytest.fixture
def house() -> House:
    made = House()
    made.furnish(2)
    return made


@pytest.fixture
def neighbours(house: House) -> dict[str, Client]:
    """The mightiest person of another company, and of another partner."""
    plant, rival = make_tenant("plant", kind="organisation"), make_tenant("rival", kind="partner")
    return {
        "another company's administrator": signed_in(make_member(plant, Role.TENANT_ADMIN)),
        "another partner": signed_in(make_member(rival, Role.PARTNER)),
    }


def addresses(table, name: str, row: dict) -> list[tuple[str, str]]:
    """Method and address of everything that can be asked of this object."""
    prefixes = (f"api/v1/{name}/", PAGES.get(name, "no-such-page/"))
    found = []
    for route, methods in table.items():
        parameters = [a or b for a, b in PARAMETER.findall(route)]
        if not parameters or not route.startswith(prefixes):
            continue
        by_name = parameters[0] in ("name", "slug")
        values = iter([row["name"] if by_name else row["id"], *["00000000-0000-7000-8000-000000000000"] * 3])
        address = PARAMETER.sub(lambda _match, values=values: str(next(values)), route)
        found += [(method, "/" + address) for method in methods]
    return found


def test_a_neighbour_finds_nothing_and_changes_nothing(house: House, neighbours: dict[str, Client]):
    table = json.loads(TABLE.read_text())
    tried: set[str] = set()
    for role in OWNERS:
        owner = signed_in(house.people[role])
        lists = [
            match[1]
            for route, methods in table.items()
            if (match := re.fullmatch(r"api/v1/([a-z-]+)/", route))
            and methods.get("GET", {}).get(role) == 200
        ]
        for name in sorted(set(lists) - EVERYBODYS - {"me", "ethics-questionnaire"}):
            rows = listed(owner.get(f"/api/v1/{name}/"))
            for row in rows[:1]:
                tried.add(name)
                for method, address in addresses(table, name, row):
                    _refused(neighbours, method, address)
                    if method == "GET" and address.endswith(f"{row['id']}/"):
                        assert owner.get(address).status_code in (200, 404), address
            for who, browser in neighbours.items():
                ids = {row["id"] for row in listed(browser.get(f"/api/v1/{name}/"))}
                assert not ids & {row["id"] for row in rows}, f"{who} sees {name} of others"
    assert tried >= {
        "endpoints",
        "models",
        "model-versions",
        "skills",
        "batch-jobs",
        "installations",
        "submissions",
    }


def listed(answer) -> list[dict]:
    """The objects of a list, paginated or not; what has no id of its own is no object."""
    if answer.status_code != 200 or not answer["Content-Type"].startswith("application/json"):
        return []
    said = answer.json()
    rows = said.get("results", []) if isinstance(said, dict) else said
    return [row for row in rows if isinstance(row, dict) and "id" in row]


def _refused(neighbours: dict[str, Client], method: str, address: str) -> None:
    for who, browser in neighbours.items():
        status = browser.generic(method, address, "{}", content_type="application/json").status_code
        allowed = (403, 404) if method == "GET" else (400, 403, 404, 405)
        assert status in allowed, f"{who}: {method} {address}: {status}"
