"""No way past the decision point: every address, console action and socket is used for real, and must have asked.

What succeeds without an enforced decision is undecided, whatever its source looks like. A refusal, a redirection to the
sign-in and a form that was not accepted have done nothing and need none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse

from governance.access.recorder import recorder
from governance.principals import Role
from governance.tenants.context import platform_scope
from openclaw_site.routing import websocket_urlpatterns
from tests.factories.house import House
from tests.isolation.answers import PARAMETER, filled
from tests.site.meta.test_endpoint_permissions import methods_of
from tests.site.meta.test_row_security import TENANT_TABLES
from tests.websockets import Socket

# Each request is undone after it, so that the next meets the same house.
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey"), pytest.mark.timeout(900)]

# In the order in which they are likely to succeed.
PEOPLE = (Role.TENANT_ADMIN, Role.PLATFORM_ADMIN, Role.PARTNER)
# Addresses that succeed without a decision, each with the reason why there is nothing to decide.
OPEN = {
    r"^health/|^metrics|^static/": "what the house says about itself; metrics have a token of their own",
    r"^api/(schema|docs)|^console/jsi18n": "documents and texts, the same for everybody",
    r"^accounts?/|^o/|^login|^logout|^console/(login|logout)": "signing in and out: who one is comes first",
    r"^partner/join/": "who wants to become a partner has no rights yet",
    r"^language/": "a cookie of one's own",
    r"^$|^console/$|^tenant/": "leads to the first page of one's own, which asks",
    r"^\.well-known/|^events/": "public keys and configurations; events carry a signature that is checked",
    r"^distribution/|^tuf/|^repository/": "published plugins, signed and meant for any client",
}


@pytest.fixture
def house() -> House:
    made = House()
    made.furnish(1)
    return made


@contextmanager
def listening() -> Iterator[list[str]]:
    """The actions about which an enforced decision was made meanwhile."""
    asked: list[str] = []
    note = recorder.note

    def remember(decision, request, *, enforced=True, times=1):
        if enforced:
            asked.append(decision.action)
        note(decision, request, enforced=enforced, times=times)

    recorder.note = remember  # type: ignore[method-assign]
    try:
        yield asked
    finally:
        del recorder.note  # type: ignore[method-assign]


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def signed_in(house: House, role: Role) -> Client:
    browser = Client(raise_request_exception=False)
    browser.force_login(house.people[role.value], backend="django.contrib.auth.backends.ModelBackend")
    return browser


def routes() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Every route, what it implements, and the label of the app whose objects it may be about."""

    def walk(patterns, prefix):
        for entry in patterns:
            route = prefix + str(entry.pattern).removeprefix("^").removesuffix("$").removesuffix("\\Z")
            if not isinstance(entry, URLPattern):
                yield from walk(entry.url_patterns, route)
            elif "format" not in route:
                view = getattr(entry.callback, "cls", None) or entry.callback
                generated = re.match(r"^console/([a-z]+)/[a-z]+/", route)
                module = view.__module__.split(".")
                yield route, methods_of(entry.callback), generated[1] if generated else module[1:2][0]

    yield from walk(get_resolver().url_patterns, "")


def objects() -> dict[str, list[str]]:
    """Ids of real objects by app label, one per table."""
    found: dict[str, list[str]] = {}
    with platform_scope(), transaction.atomic(), connection.cursor() as cursor:
        for table in TENANT_TABLES:
            cursor.execute(f'SELECT * FROM "{table}" LIMIT 1')
            row = dict(
                zip([column.name for column in cursor.description], cursor.fetchone() or (), strict=False)
            )
            if "id" in row:
                found.setdefault(table.split("_")[0], []).append(str(row["id"]))
    return found


def succeeds(browser: Client, method: str, address: str) -> bool:
    """Whether a request did something, or showed something."""
    answer = browser.generic(
        method, address, "{}" if method != "GET" else "", content_type="application/json"
    )
    if answer.streaming:
        b"".join(answer.streaming_content)
    return answer.status_code < 400 and "login" not in answer.headers.get("Location", "")


def test_no_address_succeeds_without_an_enforced_decision(house):
    ids = objects()
    browsers = [signed_in(house, role) for role in PEOPLE]
    undecided, succeeded, reasons = set(), set(), set()
    for route, methods, label in routes():
        if open_because := next((pattern for pattern in OPEN if re.search(pattern, route)), ""):
            reasons.add(open_because)
            continue
        named = bool(PARAMETER.search(route))
        addresses = {filled(route, id_) for id_ in ids.get(label, [])} if named else {f"/{route}"}
        for method in methods:
            for address, browser in ((a, b) for a in sorted(addresses) for b in browsers):
                with undone(), listening() as asked:
                    done = succeeds(browser, method, address)
                if done:
                    succeeded.add(route)
                    if not asked:
                        undecided.add(f"{method} {route}")
                    break
    assert not undecided, "These succeed without asking the decision point:\n" + "\n".join(sorted(undecided))
    assert len(succeeded) > 120, f"only {len(succeeded)} routes were used for real"
    assert reasons == set(OPEN), f"No route needs these reasons any more: {set(OPEN) - reasons}"


def test_no_console_action_happens_without_a_decision_of_its_own(house):
    """Looking at the list is one decision; what the action does must be another."""
    browser = signed_in(house, Role.PLATFORM_ADMIN)
    tried = 0
    for model, pages in admin.site._registry.items():
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for action in pages.actions or ():
            with platform_scope(), transaction.atomic():
                chosen = [str(key) for key in model._base_manager.values_list("pk", flat=True)]
            with undone(), listening() as looking:
                assert browser.get(address).status_code == 200
            with undone(), listening() as doing:
                answer = browser.post(address, {"action": action, ACTION_CHECKBOX_NAME: chosen, "index": "0"})
            assert answer.status_code == 302, (address, action)
            assert Counter(doing) - Counter(looking), f"{address}: {action} asks nothing"
            tried += 1
    assert tried >= 5


@pytest.mark.django_db(transaction=True)
def test_every_socket_is_decided_for_its_object_and_shut_to_neighbours(house):
    from asgiref.sync import async_to_sync

    from governance.access.principals import principal_for_user
    from tests.factories.governance import make_member, make_tenant, proven

    ids = objects()
    neighbours = [
        principal_for_user(make_member(make_tenant(slug, kind=kind), role), signals=proven())
        for slug, kind, role in (
            ("plant", "organisation", Role.TENANT_ADMIN),
            ("rival", "partner", Role.PARTNER),
        )
    ]
    owners = [house.principal(role) for role in (Role.TENANT_ADMIN, Role.PARTNER)]

    async def first_answer(path: str, principal) -> str:
        socket = Socket(path, principal)
        answer = (await socket.connect())["type"]
        if answer == "websocket.accept":
            answer = (await socket.receive())["type"]
        await socket.close()
        return answer

    for pattern in websocket_urlpatterns:
        label = pattern.callback.consumer_class.__module__.split(".")[1]
        paths = ["/" + re.sub(r"<uuid:\w+>", id_, str(pattern.pattern)) for id_ in ids[label]]
        opened = 0
        for path in paths:
            for principal in neighbours:
                assert async_to_sync(first_answer)(path, principal) == "websocket.close", path
            for principal in owners:
                with listening() as asked:
                    answer = async_to_sync(first_answer)(path, principal)
                if answer == "websocket.send":
                    opened += 1
                    assert asked, f"{path} opened without a decision"
        assert opened, f"{pattern.pattern}: nobody could open it"
