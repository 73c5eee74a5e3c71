"""Nothing acts without a decision: every REST action, task and socket asks, and every rule is asked for somewhere."""

from __future__ import annotations

import ast
import inspect
import re

import pytest
from asgiref.testing import ApplicationCommunicator
from celery import current_app
from channels.consumer import AsyncConsumer, SyncConsumer
from django.urls import URLPattern, get_resolver
from rest_framework.views import APIView

from governance.access.decisions import registered_actions
from governance.principals import Role
from governance.tenants.tasks import TenantTask
from openclaw_site.routing import websocket_urlpatterns
from openclaw_site.sockets import PrincipalSocket
from tests.site.meta.product import AREAS, modules, sources

# The documents about the API say nothing about anybody's data.
OPEN_TO_ALL = {"SpectacularAPIView", "SpectacularSwaggerSplitView"}
# Sees one tenant's rows only, in the sender's context, and works on rows whose lease it holds: the decision was made
# when the job was created.
CONTINUING = {"batch.plan", "batch.run_shard", "batch.join"}
PRODUCT = (*AREAS, "openclaw_site")


def rest_views() -> list[tuple[str, type[APIView], set[str]]]:
    """Route, view class, and the names of what it does: viewset actions, or methods in lower case."""
    found = []

    def walk(patterns, prefix):
        for entry in patterns:
            route = prefix + str(entry.pattern)
            if not isinstance(entry, URLPattern):
                walk(entry.url_patterns, route)
                continue
            cls = getattr(entry.callback, "cls", None) or getattr(entry.callback, "view_class", None)
            if cls and issubclass(cls, APIView) and cls.__name__ not in OPEN_TO_ALL:
                actions = getattr(entry.callback, "actions", None)
                methods = {m for m in cls.http_method_names if m != "options" and hasattr(cls, m)}
                found.append((route, cls, set(actions.values()) if actions else methods))

    walk(get_resolver().url_patterns, "")
    return found


def product_tasks():
    """Every Celery task of the product."""
    for _module in modules("tasks"):
        pass
    return [task for task in current_app.tasks.values() if type(task).__module__.split(".")[0] in PRODUCT]


def consumers():
    """Every WebSocket consumer of the product."""
    return [
        value
        for module in modules("consumers")
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, (AsyncConsumer, SyncConsumer))
        and value.__module__ == module.__name__
    ]


def test_every_rest_action_names_a_registered_decision():
    rules = registered_actions()
    missing = [
        f"{route}: {cls.__name__}.{action}"
        for route, cls, actions in rest_views()
        for action in actions - {"http_method_not_allowed"}
        if getattr(cls, "decisions", {}).get(action) not in rules
    ]
    assert not missing, (
        "Name the action in `decisions`, and register it in the app's policies.py:\n" + "\n".join(missing)
    )


def test_no_view_declares_a_decision_for_something_that_it_does_not_do():
    surplus = {
        f"{cls.__name__}.{name}"
        for _route, cls, _actions in rest_views()
        for name in getattr(cls, "decisions", {})
        if not hasattr(cls, name)
    }
    assert not surplus


def test_no_view_puts_another_permission_in_the_place_of_the_decision():
    from governance.access.rest_auth import DecisionPermission, PrincipalAuthentication

    for _route, cls, _actions in rest_views():
        assert cls.permission_classes == [DecisionPermission], cls
        assert cls.authentication_classes == [PrincipalAuthentication], cls


def test_every_task_restores_the_senders_context_and_calls_one_function_that_asks_or_is_the_systems_own():
    tasks = product_tasks()
    assert len(tasks) > 5
    for task in tasks:
        assert isinstance(task, TenantTask), task.name
        function = ast.parse(inspect.getsource(task.run)).body[0]
        names = vars(inspect.getmodule(task.run))
        called = [
            names[node.func.id]
            if isinstance(node.func, ast.Name)
            else getattr(names.get(node.func.value.id), node.func.attr)
            for statement in function.body
            for node in ast.walk(statement)
            if isinstance(node, ast.Call) and ast.unparse(node.func) != "UUID"
        ]
        assert len(called) == 1, f"{task.name} shall call one service and add nothing"
        source = inspect.getsource(inspect.getmodule(inspect.unwrap(called[0])))
        if task.name not in CONTINUING:
            assert re.search(r"\brequire\(|\bSYSTEM\b|\bplatform_scope\(", source), task.name


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("valkey", "platform")
async def test_every_socket_tells_nothing_to_who_is_not_signed_in():
    from channels.routing import URLRouter

    site = PrincipalSocket(URLRouter(websocket_urlpatterns))
    for pattern in websocket_urlpatterns:
        path = "/" + re.sub(r"<uuid:\w+>", "00000000-0000-7000-8000-000000000000", str(pattern.pattern))
        scope = {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"testserver"), (b"origin", b"http://testserver")],
            "subprotocols": [],
        }
        socket = ApplicationCommunicator(site, scope)
        await socket.send_input({"type": "websocket.connect"})
        answer = await socket.receive_output(timeout=10)
        if answer["type"] == "websocket.accept":
            answer = await socket.receive_output(timeout=10)
        assert (answer["type"], answer["code"]) == ("websocket.close", 4403), path
        await socket.wait()


def test_every_socket_has_a_route():
    routed = {pattern.callback.consumer_class for pattern in websocket_urlpatterns}
    assert routed == set(consumers())


@pytest.mark.parametrize("action", sorted(registered_actions()))
def test_every_action_is_open_to_somebody_and_asked_for_somewhere(action: str):
    rule = registered_actions()[action]
    assert rule.roles or rule.grant or rule.anonymous, "no role, no grant: nobody could ever do it"
    assert {Role(role) for role in rule.roles} == set(rule.roles)
    pattern = re.compile(rf"""["']{re.escape(action)}["']""")
    askers = [
        path
        for path in sources(*PRODUCT)
        if path.name != "policies.py" and pattern.search(path.read_text(encoding="utf-8"))
    ]
    assert askers, "nothing asks for this action: remove its rule"


def test_an_unknown_action_is_refused_even_to_the_mightiest():
    from governance.access.decisions import decide
    from governance.principals import SYSTEM

    assert not decide(SYSTEM, "no.such.action").allow
