"""How many queries each list and page costs: the same with 3 objects as with 12, and as many as the file says.

The pages are those of the permission table that need no object, asked for by the first role that may see them. After
a wanted change run `make query-counts` and look at the difference: a number that grew is time on every request.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from governance.access.hub import hub
from tests.factories.house import House
from tests.site.meta.test_endpoint_permissions import TABLE

# Transactions are real: what one has read that has written is never remembered, and a page would pay for it each time.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

COUNTS = Path(__file__).with_name("query_counts.json")
FEW, MANY = 3, 12
# Who usually looks, first; others only where none of these may.
ASKED_BY = ("tenant_admin", "reviewer", "partner", "ethics_officer", "platform_admin", "auditor")
# Readiness and metrics ask every part of the site, not only the database; the schema asks nothing.
LEFT_OUT = ("health/", "metrics", "api/schema", "api/docs")
FRAME = ("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT")


@pytest.fixture(autouse=True)
def hearing(django_db_setup: None):
    """Changes are heard of, as on a site: what is remembered is not read again every second."""
    assert hub.start(wait_s=30)
    yield
    hub.stop()


def pages() -> list[tuple[str, str]]:
    """Route and role of everything that answers 200 without an object."""
    found = []
    for route, methods in json.loads(TABLE.read_text()).items():
        statuses = methods.get("GET", {})
        role = next((role for role in ASKED_BY if statuses.get(role) == 200), None)
        if role and "<" not in route and not route.startswith(LEFT_OUT) and not route.endswith("/add/"):
            found.append((route, role))
    return found


def count(browser: Client, route: str) -> int:
    browser.get(f"/{route}")  # what is read once per process is not what a page costs
    with CaptureQueriesContext(connection) as queries:
        answer = browser.get(f"/{route}")
    assert answer.status_code == 200, route
    return sum(not query["sql"].startswith(FRAME) for query in queries.captured_queries)


def test_the_number_of_queries_does_not_grow_with_the_number_of_objects(request: pytest.FixtureRequest):
    house = House()
    browsers = {}
    for role in ASKED_BY:
        browsers[role] = Client()
        browsers[role].force_login(house.people[role], backend="django.contrib.auth.backends.ModelBackend")
    house.furnish(FEW)
    few = {route: count(browsers[role], route) for route, role in pages()}
    house.furnish(MANY - FEW)
    many = {route: count(browsers[role], route) for route, role in pages()}
    grown = {route: (few[route], many[route]) for route in few if many[route] > few[route]}
    assert not grown, f"Queries grow with the rows (at {FEW} objects, at {MANY}): {grown}"
    if request.config.getoption("--write-query-counts"):
        COUNTS.write_text(json.dumps(many, indent=1, sort_keys=True) + "\n")
    known = json.loads(COUNTS.read_text())
    changed = {
        route: {"file": known.get(route), "site": many.get(route)}
        for route in known.keys() | many.keys()
        if known.get(route) != many.get(route)
    }
    assert not changed, f"Query counts changed: run `make query-counts` and review the difference. {changed}"
