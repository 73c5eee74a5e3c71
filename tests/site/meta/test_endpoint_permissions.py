"""One generated table: endpoint by method by role -> status. A new endpoint without a row fails here.

The table is `endpoint_permissions.json`. After a wanted change run `make permissions`, and read the difference as a
reviewer would: a 200, 302 or 404 where 403 stood is a right that somebody has gained.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.urls import URLPattern, get_resolver

from governance.principals import Role
from governance.tenants.models import Tenant, User

# Transactions are real here: what a refusal writes is written after the view's own was rolled back.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

TABLE = Path(__file__).with_name("endpoint_permissions.json")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
NOBODY = "anonymous"
# The other methods change nothing for those who may do most, and then for nobody.
MIGHTIEST = ("platform_admin", "tenant_admin")
UNKNOWN_ID = "00000000-0000-7000-8000-000000000000"
# Of the console's generated pages the list and the form for a new object stand for all: one permission hook each.
SKIPPED = re.compile(
    r".*<path:object_id>|^console/(jsi18n|autocomplete|r/|password|\(|login|logout)|^static/"
)
GENERATED = re.compile(r"^console/\w+/\w+/(add/)?$")
ROLES = {
    Tenant.Kind.PLATFORM: (Role.PLATFORM_ADMIN, Role.REVIEWER, Role.ETHICS_OFFICER, Role.AUDITOR),
    Tenant.Kind.ORGANISATION: (Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST),
    Tenant.Kind.PARTNER: (Role.PARTNER,),
}


def routes() -> dict[str, tuple[str, ...]]:
    """Every route of the site, as written in the URL configuration, with the methods that it may implement."""
    found: dict[str, tuple[str, ...]] = {}

    def walk(patterns, prefix):
        for entry in patterns:
            route = prefix + str(entry.pattern).removeprefix("^").removesuffix("$").removesuffix("\\Z")
            if isinstance(entry, URLPattern):
                found.setdefault(route, methods_of(entry.callback))
            else:
                walk(entry.url_patterns, route)

    walk(get_resolver().url_patterns, "")
    return {r: found[r] for r in sorted(found) if not SKIPPED.match(r) and "format" not in r}


def methods_of(view) -> tuple[str, ...]:
    """What the view implements; of a function, which looks at the method inside, what browsers send."""
    if actions := getattr(view, "actions", None):
        return tuple(m for m in METHODS if m.lower() in actions)
    if made_of := getattr(view, "cls", None) or getattr(view, "view_class", None):
        return tuple(m for m in METHODS if hasattr(made_of, m.lower()))
    return METHODS[:2]


class Browser(Client):
    """Remembers whose it is."""

    person: User | None = None
    signed_in_with: str | None = None

    def sign_in(self, person: User) -> None:
        self.person = person
        self.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        self.signed_in_with = self.session.session_key


def example(route: str) -> str:
    """A well-formed address of the route, of an object that does not exist."""
    route = re.sub(r"\(\?P<\w*(?:id|pk|uuid)\w*>[^)]*\)", UNKNOWN_ID, route)
    route = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"no-such-\1", route)
    route = re.sub(r"<uuid:\w+>", UNKNOWN_ID, route)
    route = re.sub(r"<int:\w+>", "0", route)
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"no-such-\1", route).replace("\\", "")


@pytest.fixture
def clients(platform, org, partner_org, member):
    """A signed-in browser per role, and one that is not signed in."""
    tenants = {
        Tenant.Kind.PLATFORM: platform,
        Tenant.Kind.ORGANISATION: org,
        Tenant.Kind.PARTNER: partner_org,
    }
    made = {NOBODY: Browser(raise_request_exception=False)}
    for kind, roles in ROLES.items():
        for role in roles:
            made[role.value] = Browser(raise_request_exception=False)
            made[role.value].sign_in(member(tenants[kind], role))
    return made


def status_of(client: Browser, method: str, address: str) -> int:
    """One request, after which the browser is signed in as before."""
    status = client.generic(method, address, content_type="application/json").status_code
    if client.person and client.session.session_key != client.signed_in_with:
        client.sign_in(client.person)
    return status


def observe(clients) -> dict[str, dict[str, dict[str, int]]]:
    table: dict[str, dict[str, dict[str, int]]] = {}
    for route, methods in routes().items():
        address = example(route)
        for method in methods:
            statuses = {role: status_of(client, method, address) for role, client in clients.items()}
            if set(statuses.values()) != {405}:
                table.setdefault(route, {})[method] = statuses
        for method in set(METHODS) - set(methods) if not GENERATED.match(route) else ():
            for role in MIGHTIEST:
                status = status_of(clients[role], method, address)
                as_page = table.get(route, {}).get("GET", {}).get(role)
                assert status >= 300 or status == as_page, f"{method} {route} as {role}: {status}"
    return table


def test_the_table_is_what_the_site_does(clients, request):
    settings.TOKEN_ENDPOINT_RATE = "100000/m"
    seen = observe(clients)
    failures = [
        f"{method} {route} as {role}: {status}"
        for route, methods in seen.items()
        for method, statuses in methods.items()
        for role, status in statuses.items()
        if status >= 500 and not route.startswith("health/")
    ]
    assert not failures, "The site must never answer 5xx here:\n" + "\n".join(failures)
    if request.config.getoption("--write-permissions"):
        TABLE.write_text(json.dumps(seen, indent=1, sort_keys=True) + "\n")
    known = json.loads(TABLE.read_text())
    assert sorted(seen) == sorted(known), (
        "Routes came or went: run `make permissions` and review the difference."
    )
    changed = {
        f"{method} {route}": {"table": known[route].get(method), "site": statuses}
        for route, methods in seen.items()
        for method, statuses in methods.items()
        if known[route].get(method) != statuses
    }
    assert not changed, f"Permissions changed: run `make permissions` and review the difference.\n{changed}"


def test_nobody_gets_anything_without_signing_in_that_is_not_meant_for_everybody():
    """Read from the table, so that a reviewer sees the whole public surface in one place."""
    public = {
        f"{method} {route}"
        for route, methods in json.loads(TABLE.read_text()).items()
        for method, statuses in methods.items()
        if statuses[NOBODY] < 300
    }
    assert public == set(json.loads(TABLE.with_name("public_endpoints.json").read_text())), sorted(public)
