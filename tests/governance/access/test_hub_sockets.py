"""Open sockets and downloads are asked again: closed with the right code, and told nothing after the announcement."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import get_channel_layer
from channels.routing import URLRouter
from django.contrib.sessions.models import Session
from django.db import transaction
from django.urls import path
from oauth2_provider.models import get_access_token_model

from governance.access.decisions import decide
from governance.access.hub import hub
from governance.access.hub_sockets import StandingConsumer
from governance.access.services import disable_application, set_user_active, suspend_tenant
from governance.access.standing import (
    REFUSED,
    STEP_UP,
    Standing,
)
from governance.audit.models import AuditEntry
from governance.decision import StepUp
from governance.errors import AccessDenied
from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership
from openclaw_site.sockets import PrincipalSocket
from tests.factories.governance import bearer_token, make_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey", "platform")]

ACTION = "events.event.view"
DEADLINE_S = 10


class Probe(StandingConsumer):
    """Shows a tenant's people; echoes what it hears, and says what its group is told."""

    async def opened(self):
        await self.channel_layer.group_add("probe", self.channel_name)
        await self.send("open")

    async def closed(self):
        await self.channel_layer.group_discard("probe", self.channel_name)

    def decision(self, principal):
        return decide(principal, ACTION, tenant_id=principal.tenant_id)

    async def receive(self, text_data=None, bytes_data=None):
        await self.send(f"heard {text_data}")

    async def probe_news(self, event):
        """Something to tell."""
        await self.send(event["text"])


def site():
    return PrincipalSocket(URLRouter([path("ws/probe/", Probe.as_asgi())]))


async def connect(*headers, origin=True):
    named = [(b"host", b"testserver"), *headers, *([(b"origin", b"http://testserver")] if origin else [])]
    scope = {
        "type": "websocket",
        "path": "/ws/probe/",
        "raw_path": b"/ws/probe/",
        "query_string": b"",
        "headers": named,
        "subprotocols": [],
    }
    socket = ApplicationCommunicator(site(), scope)
    await socket.send_input({"type": "websocket.connect"})
    return socket


async def opened(*headers, **options):
    socket = await connect(*headers, **options)
    assert (await socket.receive_output(DEADLINE_S))["type"] == "websocket.accept"
    assert (await socket.receive_output(DEADLINE_S))["text"] == "open"
    return socket


async def ended(socket):
    message = await socket.receive_output(DEADLINE_S)
    assert message["type"] == "websocket.close", message
    await hang_up(socket)
    return message.get("code")


async def hang_up(socket):
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait(DEADLINE_S)


@pytest.fixture
def program(org):
    return make_application(org, scopes=["tenant:manage"], role=Role.TENANT_ADMIN)


@pytest.fixture
def token(program):
    return bearer_token(*program)


@pytest.fixture
def bearer(token):
    return b"authorization", f"Bearer {token}".encode()


@sync_to_async
def change(function, **options):
    with platform_scope(), transaction.atomic():
        return function(**options)


async def test_a_person_is_told_and_heard(cookie):
    socket = await opened(cookie)
    await socket.send_input({"type": "websocket.receive", "text": "hello"})
    assert (await socket.receive_output(DEADLINE_S))["text"] == "heard hello"
    await hang_up(socket)


async def test_a_program_with_a_token_needs_no_origin_but_no_foreign_one_is_let_in(bearer):
    await hang_up(await opened(bearer, origin=False))
    socket = await connect(bearer, (b"origin", b"https://evil.example"), origin=False)
    await ended(socket)


async def test_a_cookie_without_an_origin_is_not_let_in(cookie):
    socket = await connect(cookie, origin=False)
    await ended(socket)


async def test_a_token_that_is_not_good_is_nobodys(bearer):
    socket = await connect((b"authorization", b"Bearer wrong"), origin=False)
    assert (await socket.receive_output(DEADLINE_S))["type"] == "websocket.accept"
    assert await ended(socket) == REFUSED


async def test_a_close_arrives_although_the_consumer_waits_for_messages(cookie):
    """granian sends no close while a `receive` is pending; this server does not, either."""
    listening, closed = asyncio.Lock(), asyncio.Event()
    messages = asyncio.Queue()
    messages.put_nowait({"type": "websocket.connect"})

    async def receive():
        async with listening:
            return await messages.get()

    async def send(message):
        if message["type"] == "websocket.close":
            async with listening:
                closed.set()

    headers = [(b"host", b"testserver"), (b"origin", b"http://testserver")]
    scope = {"type": "websocket", "path": "/ws/probe/", "query_string": b"", "headers": headers}
    await asyncio.wait_for(site()(scope | {"subprotocols": []}, receive, send), DEADLINE_S)
    assert closed.is_set()


async def disable(admin, org):
    await change(set_user_active, principal=SYSTEM, user_id=admin.id, active=False)
    return "membership", str(admin.id)


async def remove_role(admin, org):
    await change(lambda: Membership.objects.filter(user=admin).delete())
    return "membership", str(admin.id)


async def suspend(admin, org):
    await change(suspend_tenant, principal=SYSTEM, tenant_id=org.id, reason="test")
    return "tenant", str(org.id)


async def end_session(admin, org):
    key = await change(lambda: Session.objects.get().session_key)
    await change(lambda: Session.objects.all().delete())
    return "session", key


async def change_password(admin, org):
    await sync_to_async(admin.set_password)("another horse battery staple")
    await change(admin.save)
    return "user", str(admin.id)


@pytest.mark.parametrize("revoke", [disable, remove_role, suspend, end_session, change_password])
async def test_a_persons_socket_is_closed_when_it_is_announced(revoke, cookie, admin, org):
    socket = await opened(cookie)
    hub.dispatch(*await revoke(admin, org))
    assert await ended(socket) == REFUSED


@pytest.mark.parametrize("revoke", ["token", "application"])
async def test_a_programs_socket_is_closed_when_it_is_announced(revoke, bearer, token, program):
    socket = await opened(bearer, origin=False)
    if revoke == "token":
        row = await change(lambda: get_access_token_model().objects.get())
        await change(row.delete)
        hub.dispatch("token", row.token_checksum)
    else:
        await change(disable_application, principal=SYSTEM, application_id=program[0].id)
        hub.dispatch("application", str(program[0].id))
    assert await ended(socket) == REFUSED


async def test_nothing_is_told_after_the_announcement(cookie, admin, org):
    socket = await opened(cookie)
    await get_channel_layer().group_send("probe", {"type": "probe.news", "text": "before"})
    assert (await socket.receive_output(DEADLINE_S))["text"] == "before"
    announced = await remove_role(admin, org)
    hub.dispatch(*announced)
    await get_channel_layer().group_send("probe", {"type": "probe.news", "text": "after"})
    assert await ended(socket) == REFUSED


async def test_a_change_that_concerns_somebody_else_is_not_asked_about(cookie, admin, monkeypatch):
    asked = []
    original = Standing.ask
    monkeypatch.setattr(Standing, "ask", lambda self: asked.append(1) or original(self))
    monkeypatch.setattr("governance.access.hub.Hub.max_age_s", 60.0)
    socket = await opened(cookie)
    before = len(asked)
    for topic in ("membership", "session", "token", "tenant", "event"):
        hub.dispatch(topic, "somebody else")
    await socket.send_input({"type": "websocket.receive", "text": "still"})
    assert (await socket.receive_output(DEADLINE_S))["text"] == "heard still"
    assert len(asked) == before
    await hang_up(socket)


async def test_while_nobody_hears_of_changes_it_is_asked_every_second(cookie, admin, org):
    assert not hub.connected
    socket = await opened(cookie)
    await remove_role(admin, org)  # and nobody announces it
    assert await ended(socket) == REFUSED


async def test_a_stronger_proof_that_is_missing_has_a_code_of_its_own(cookie, monkeypatch):
    from dataclasses import replace

    refused = []

    def stricter(self, principal):
        found = decide(principal, ACTION, tenant_id=principal.tenant_id)
        return replace(found, allow=False, step_up=StepUp(2)) if refused else found

    monkeypatch.setattr(Probe, "decision", stricter)
    socket = await opened(cookie)
    refused.append(True)
    hub.dispatch("policy", "")
    assert await ended(socket) == STEP_UP


async def test_a_duty_that_nobody_fulfils_is_a_refusal(cookie, monkeypatch):
    from dataclasses import replace

    def with_duty(self, principal):
        found = decide(principal, ACTION, tenant_id=principal.tenant_id)
        return replace(found, obligations=("person-confirms",))

    monkeypatch.setattr(Probe, "decision", with_duty)
    socket = await connect(cookie)
    assert (await socket.receive_output(DEADLINE_S))["type"] == "websocket.accept"
    assert await ended(socket) == REFUSED


async def test_what_a_service_refuses_after_a_yes_is_a_refusal(cookie, monkeypatch):
    def refusing(self, principal):
        found = decide(principal, ACTION, tenant_id=principal.tenant_id)
        assert found.allow and not found.obligations
        raise AccessDenied("Not you.", decision=found)

    monkeypatch.setattr(Probe, "decision", refusing)
    socket = await connect(cookie)
    assert (await socket.receive_output(DEADLINE_S))["type"] == "websocket.accept"
    assert await ended(socket) == REFUSED
    entry = await change(lambda: AuditEntry.objects.get(decision="deny"))
    assert entry.reason == "Not you."
