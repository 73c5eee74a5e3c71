"""Isolation, proven over everything that there is: two tenants of the same shape, and neither learns of the other.

Non-interference (Goguen and Meseguer, 1982): what a tenant sees must be the same whether its twin exists or not. The
tables, the addresses, the tasks and the sockets are found in the code, so nothing that is added can be left out.
"""

from __future__ import annotations

import inspect
import re
import uuid
from difflib import unified_diff

import psycopg
import pytest
from celery import current_app
from django.db import connection, transaction
from django.test import Client
from psycopg import sql

from governance.access.hub import EVERYTHING, hub
from governance.principals import Role
from governance.tenants.context import RowScope, row_scope, tenant_context
from tests.factories.governance import make_member, make_tenant
from tests.factories.house import House
from tests.isolation.answers import ask, filled, of_objects, plain
from tests.isolation.twins import Twins, twin_of
from tests.site.meta.product import modules
from tests.site.meta.test_row_security import SELF_TENANT, TENANT_TABLES, superuser

# Rows are committed, for the twin is made over another connection.
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("valkey"),
    pytest.mark.timeout(900),
]

ROLES = {"organisation": (Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST), "partner": (Role.PARTNER,)}
SEARCHES = ("?q=model-1", "?page_size=1")
# Taking records out of the house is itself recorded, so every export is longer than the one before; sessions are listed
# by when they were last seen, which for these is now.
REQUEST_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b")
RECORDS_ITSELF = re.compile(r"export|audit|identity/sessions")


@pytest.fixture
def house() -> House:
    made = House()
    made.furnish(2)
    return made


def doubt() -> None:
    """Everything remembered in this process is forgotten, as after an announcement."""
    hub.dispatch(EVERYTHING, "")


def people(house: House, kind: str) -> dict[str, Client]:
    found = {}
    for role in ROLES[kind]:
        found[role.value] = Client(raise_request_exception=False)
        found[role.value].force_login(
            house.people[role.value], backend="django.contrib.auth.backends.ModelBackend"
        )
    return found


def open_to(browsers: dict[str, Client]) -> dict[str, list[str]]:
    """What each person may see at all. Asked once: a refusal is an entry in the audit log, which is itself a page."""
    return {
        role: [address for address in plain() if ask(browser, "GET", address)[0] == 200]
        for role, browser in browsers.items()
    }


def snapshot(
    browsers: dict[str, Client], addresses: dict[str, list[str]]
) -> dict[tuple[str, str], tuple[int, str]]:
    """What everybody sees at every address that needs no object; the mightiest also search, filter and count."""
    seen = {}
    for number, (role, browser) in enumerate(browsers.items()):
        for address in addresses[role]:
            for search in ("", *SEARCHES) if number == 0 else ("",):
                seen[role, address + search] = ask(browser, "GET", address + search)
    return seen


@pytest.mark.parametrize("kind", ROLES)
def test_nobody_sees_whether_the_twin_exists(house: House, services, kind: str):
    browsers = people(house, kind)
    addresses = open_to(browsers)
    snapshot(browsers, addresses)  # what a first look creates by itself is there from now on
    before = snapshot(browsers, addresses)
    with superuser(services) as everything:
        everything.autocommit = True
        twins = Twins(everything, house.tenants[kind].id)
        make_twin_tenant(everything, twins, kind)
        twins.make()
        doubt()
        after = snapshot(browsers, addresses)
        foreign = twins.foreign_ids
    assert len(after) > 40
    leaks = {
        key: text[max(text.index(id_) - 200, 0) : text.index(id_) + 60]
        for key, (_status, text) in after.items()
        for id_ in foreign
        if id_ in text
    }
    assert not leaks, f"These answers name another tenant's objects: {sorted(leaks)}\n" + next(
        iter(leaks.values())
    )
    changed = sorted(
        key for key, answer in after.items() if answer != before[key] and not RECORDS_ITSELF.search(key[1])
    )
    assert not changed, f"These answers tell that another tenant is there: {changed}" + difference(
        before[changed[0]][1], after[changed[0]][1]
    )


def difference(before: str, after: str) -> str:
    """The lines that differ."""
    return "\n".join(
        ["", *list(unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0))[:20]]
    )


@pytest.mark.parametrize("kind", ROLES)
def test_what_is_the_twins_answers_exactly_like_what_is_nowhere(house: House, services, kind: str):
    """Every address and method with another tenant's id: same status, same words as with an id that nobody has."""
    browsers = people(house, kind)
    with superuser(services) as everything:
        everything.autocommit = True
        twins = Twins(everything, house.tenants[kind].id)
        make_twin_tenant(everything, twins, kind)
        twins.make()
        doubt()
        unchanged = twins.checksum(twins.twin_id)
        told, asked, words = [], 0, ""
        browser = browsers[ROLES[kind][0].value]
        for route, methods, label in of_objects():
            for method in methods:
                nobodys = uuid.uuid4()
                other = ask(browser, method, filled(route, nobodys))
                for own in twins.ids_of(label):
                    asked += 1
                    theirs = twin_of(own)
                    one = ask(browser, method, filled(route, theirs))
                    if without(one, theirs) != without(other, nobodys):
                        told.append((method, route, one[0], other[0]))
                        words = words or difference(other[1], one[1])
        assert asked > 200
        assert not told, f"These addresses tell that another tenant's object is there: {told[:20]}{words}"
        changed = {table for table, sum_ in twins.checksum(twins.twin_id).items() if sum_ != unchanged[table]}
        assert not changed, f"Another tenant's rows were changed: {changed}"


def without(answer: tuple[int, str], object_id: uuid.UUID) -> tuple[int, str]:
    """The answer with the id that was asked for, and the request's own, taken out."""
    return answer[0], REQUEST_ID.sub("REQUEST", answer[1].replace(str(object_id), "ID"))


def test_a_task_in_one_tenants_context_does_nothing_to_the_twin(house: House, services):
    for _module in modules("tasks"):
        pass
    tried = 0
    with superuser(services) as everything:
        everything.autocommit = True
        twins = Twins(everything, house.tenants["organisation"].id)
        make_twin_tenant(everything, twins, "organisation")
        twins.make()
        doubt()
        unchanged = twins.checksum(twins.twin_id)
        for task in [task for name, task in current_app.tasks.items() if not name.startswith("celery.")]:
            names = [name for name in inspect.signature(task.run).parameters if name.endswith("_id")]
            if not names:
                continue
            label = type(task).__module__.split(".")[1]
            for own in twins.ids_of(label):
                tried += 1
                foreign = str(twin_of(own))
                with tenant_context(twins.tenant_id):
                    try:
                        task.run(**dict.fromkeys(names, foreign))
                    except Exception as error:  # noqa: BLE001  whatever it says must not tell
                        words = str(error).replace(foreign, "")
                        assert not any(id_ in words for id_ in twins.foreign_ids), (task.name, words)
        changed = {table for table, sum_ in twins.checksum(twins.twin_id).items() if sum_ != unchanged[table]}
    assert tried > 5
    assert not changed, f"A task of one tenant changed another's rows: {changed}"


@pytest.mark.parametrize("table", TENANT_TABLES)
def test_no_statement_of_one_tenant_reaches_the_rows_of_another(services, platform, table: str):
    """Update, delete and insert at the database itself, as the site's own role."""
    column = SELF_TENANT.get(table, "tenant_id")
    mine, theirs = uuid.uuid4(), uuid.uuid4()
    name, key = sql.Identifier(table), sql.Identifier(column)
    with superuser(services) as everything:
        everything.autocommit = True
        twins = Twins(everything, mine)
        twins.twin_id = theirs
        row = twins._filled(table)
        everything.execute("SET session_replication_role = replica")
        try:
            twins._insert(table, row)
        finally:
            everything.execute("SET session_replication_role = DEFAULT")
        there = twins._rows(table, theirs)
        for statement in (
            sql.SQL("UPDATE {} SET {} = {} WHERE {} = %s").format(name, key, key, key),
            sql.SQL("UPDATE {} SET {} = %s").format(name, key),
            sql.SQL("DELETE FROM {} WHERE {} = %s").format(name, key),
        ):
            with row_scope(RowScope(tenant_id=mine)), transaction.atomic(), connection.cursor() as cursor:
                try:
                    cursor.execute(statement.as_string(), [str(theirs)])
                except Exception as error:  # noqa: BLE001  whatever it says must not tell
                    assert isinstance(
                        error.__cause__, psycopg.errors.InsufficientPrivilege | psycopg.errors.RaiseException
                    )
                    transaction.set_rollback(True)
                else:
                    assert cursor.rowcount == 0
        assert twins._rows(table, theirs) == there


def make_twin_tenant(everything: psycopg.Connection, twins: Twins, kind: str) -> None:
    """The tenant of the twin, with a person of every role of its kind."""
    tenant = make_tenant(f"twin-{kind}", kind=kind)
    everything.execute("SET session_replication_role = replica")
    everything.execute("UPDATE tenants_tenant SET id = %s WHERE id = %s", [twins.twin_id, tenant.id])
    everything.execute("SET session_replication_role = DEFAULT")
    tenant.id = twins.twin_id
    for role in ROLES[kind]:
        make_member(tenant, role)
