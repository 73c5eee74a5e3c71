"""The live socket: who may listen, and that a change arrives."""

from __future__ import annotations

import json

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.routing import URLRouter

from governance.principals import ANONYMOUS, Role
from marketplace.review import services
from openclaw_site.routing import websocket_urlpatterns
from tests.factories.marketplace import acting, upload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey", "site")]


async def listen(submission, principal):
    path = f"/ws/submissions/{submission.id}/"
    scope = {"type": "websocket", "path": path, "headers": [], "principal": principal, "cookies": {}}
    socket = ApplicationCommunicator(URLRouter(websocket_urlpatterns), scope)
    await socket.send_input({"type": "websocket.connect"})
    return socket, await socket.receive_output(timeout=10)


async def told(socket):
    message = await socket.receive_output(timeout=10)
    return json.loads(message["text"])


def withdraw(principal, submission):
    with acting(principal):
        services.withdraw(principal=principal, submission_id=submission.id)


async def test_a_change_arrives_at_who_may_see_it(partner):
    submission = await sync_to_async(upload)(partner)
    socket, answer = await listen(submission, partner)
    assert answer["type"] == "websocket.accept"
    first = await told(socket)
    assert (first["type"], first["submission"]["state"]) == ("submission", "checking")
    await sync_to_async(withdraw)(partner, submission)
    state = first["submission"]
    while state["state"] != "withdrawn":
        state = (await told(socket))["submission"]
    assert state["whose_turn"] == "nobody"
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait(timeout=10)


async def test_others_are_turned_away(partner, principal_for, make_tenant, keeper):
    submission = await sync_to_async(upload)(partner)
    rival_tenant = await sync_to_async(make_tenant)("rival", kind="partner")
    rival = await sync_to_async(principal_for)(rival_tenant, Role.PARTNER)
    for principal in (rival, keeper, ANONYMOUS):
        socket, answer = await listen(submission, principal)
        assert answer["type"] == "websocket.accept", "so that the code is heard"
        answer = await socket.receive_output(timeout=10)
        assert (answer["type"], answer["code"]) == ("websocket.close", 4403)
        await socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await socket.wait(timeout=10)
