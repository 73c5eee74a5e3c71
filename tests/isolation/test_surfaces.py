"""Isolation beside the pages: look-ups by a few letters, what the cache holds, where files lie, and sockets."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

import pytest
from asgiref.sync import async_to_sync
from django.contrib import admin
from django.core.cache import cache
from django.core.files.storage import storages

from governance.principals import Role
from openclaw_site.routing import websocket_urlpatterns
from tests.factories.house import House
from tests.isolation.answers import ask, filled, plain
from tests.isolation.test_isolation import doubt, make_twin_tenant, people
from tests.isolation.twins import Twins, twin_of
from tests.site.meta.test_row_security import superuser
from tests.websockets import Socket

# Rows are committed, for the twin is made over another connection.
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("valkey"),
    pytest.mark.timeout(900),
]


def look_ups() -> list[str]:
    """The console's autocompletion of every reference of every model that it shows."""
    return [
        "/console/autocomplete/?"
        + urlencode(
            {
                "term": "",
                "app_label": model._meta.app_label,
                "model_name": model._meta.model_name,
                "field_name": field.name,
            }
        )
        for model in admin.site._registry
        for field in model._meta.fields
        if field.is_relation
    ]


def test_no_look_up_no_key_and_no_file_names_the_twin(house: House, services):
    browser = people(house, "organisation")[Role.TENANT_ADMIN.value]
    with superuser(services) as everything:
        everything.autocommit = True
        twins = Twins(everything, house.tenants["organisation"].id)
        make_twin_tenant(everything, twins, "organisation")
        twins.make()
        doubt()
        foreign = twins.foreign_ids | {str(twins.twin_id)}
    files = set(storages["objects"].names(str(twins.tenant_id), after="", limit=10_000))
    addresses = look_ups()
    assert len(addresses) > 20
    for address in addresses:
        status, text = ask(browser, "GET", address)
        assert status < 500, address
        assert not any(id_ in text for id_ in foreign), address
    for address in plain():
        ask(browser, "GET", address)
    valkey = cache._cache.get_client()  # type: ignore[attr-defined]
    keys = valkey.keys("*")
    kept = b"".join(key + (valkey.dump(key) or b"") for key in keys).decode("latin-1")
    assert keys, "nothing was kept in the cache, so nothing was proven about it"
    assert not [id_ for id_ in foreign if id_ in kept]
    # Whatever was written meanwhile lies below the tenant's own folder: the storage knows no other place.
    assert files <= set(storages["objects"].names(str(twins.tenant_id), after="", limit=10_000))
    assert not storages["objects"].names(str(twins.twin_id), after="", limit=1)


@pytest.fixture
def house() -> House:
    made = House()
    made.furnish(2)
    return made


@pytest.mark.parametrize(
    ("kind", "role"),
    [("organisation", Role.TENANT_ADMIN), ("partner", Role.PARTNER)],
    ids=["organisation", "partner"],
)
def test_a_socket_about_the_twins_answers_like_one_about_nothing(
    house: House, services, kind: str, role: Role
):
    """Every socket with another tenant's id: the same answers to the end as with an id that nobody has."""
    principal = house.principal(role)

    async def answers(path: str) -> list[dict[str, Any]]:
        socket = Socket(path, principal)
        found = [await socket.connect()]
        while found[-1]["type"] != "websocket.close":
            found.append(await socket.receive())
        await socket.close()
        return found

    asked = 0
    with superuser(services) as everything:
        everything.autocommit = True
        twins = Twins(everything, house.tenants[kind].id)
        make_twin_tenant(everything, twins, kind)
        twins.make()
        doubt()
        for pattern in websocket_urlpatterns:
            label = pattern.callback.consumer_class.__module__.split(".")[1]
            nothing = async_to_sync(answers)(filled(str(pattern.pattern), uuid.uuid4()))
            for own in twins.ids_of(label):
                theirs = async_to_sync(answers)(filled(str(pattern.pattern), twin_of(own)))
                assert theirs == nothing, pattern.pattern
                asked += 1
    assert asked > 0
