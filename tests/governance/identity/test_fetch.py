"""Asking providers never leads into the house's own network: addresses, redirects, sizes, and names that lie."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import requests

from governance.errors import InvalidInput
from governance.identity.fetch import MAX_ANSWER_BYTES, GuardedSession, allowed, check_address

PUBLIC = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]
PRIVATE = ["10.0.0.1", "172.16.3.4", "192.168.1.1", "fd00::1"]
NEVER = ["169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "::ffff:169.254.169.254"]
LOOPBACK = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]


@pytest.fixture
def public_site(settings) -> None:
    settings.PUBLIC_URL = "https://openclaw.example.com"


@pytest.mark.parametrize("address", [*PRIVATE, *NEVER, *LOOPBACK, "::ffff:10.0.0.1", "100.64.0.1"])
def test_a_tenants_provider_is_at_a_public_address(public_site, address):
    assert not allowed(address, internal=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_asked(public_site, address):
    assert allowed(address, internal=False)


def test_the_internal_network_is_opened_by_the_platform_but_never_to_link_local_addresses(public_site):
    assert all(allowed(address, internal=True) for address in [*PRIVATE, *PUBLIC])
    assert not any(allowed(address, internal=True) for address in [*NEVER, *LOOPBACK])


def test_a_site_for_this_machine_only_may_ask_this_machine(settings):
    settings.PUBLIC_URL = "http://127.0.0.1:8000"
    assert all(allowed(address, internal=False) for address in LOOPBACK)
    check_address("http://localhost:9400/")
    with pytest.raises(InvalidInput):
        check_address("http://idp.example/")


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "http://127.0.0.1/",
        "https://",
        "https:///x",
        "gopher://x",
        "https://u@idp.example",
        "",
    ],
)
def test_only_https_addresses_are_kept(public_site, url):
    with pytest.raises(InvalidInput):
        check_address(url)


@dataclass
class Server:
    """Answers every connection with `answer` and remembers what was sent to it."""

    port: int
    answer: bytes = b""
    heard: list[bytes] = field(default_factory=list)
    connected: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def server() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = Server(listening.getsockname()[1])
        listening.settimeout(20)

        def serve() -> None:
            connection, _address = listening.accept()
            made.connected.set()
            with connection:
                connection.settimeout(5)
                try:
                    made.heard.append(connection.recv(65_536))
                    connection.sendall(made.answer)
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        yield made
        thread.join(timeout=30)


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_a_name_that_leads_to_this_machine_is_dropped_before_a_byte_is_sent(public_site, server, monkeypatch):
    """DNS rebinding: whatever was looked up before, the connection's own address counts."""
    real = socket.getaddrinfo

    def lie(host, port, *args, **kwargs):
        return real("127.0.0.1", port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lie)
    with pytest.raises(requests.RequestException):
        GuardedSession(internal=False).get(f"https://idp.example:{server.port}/")
    assert server.connected.wait(10)
    for _each in range(50):
        if server.heard:
            break
        threading.Event().wait(0.1)
    assert server.heard == [b""]


def local(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}/"


@pytest.fixture
def local_site(settings) -> None:
    settings.PUBLIC_URL = "http://127.0.0.1:8000"


def test_an_answer_is_read(local_site, server):
    server.answer = http("200 OK", b'{"a": 1}', "Content-Type: application/json")
    assert GuardedSession(internal=False).get(local(server)).json() == {"a": 1}


def test_a_redirect_is_not_followed(local_site, server):
    server.answer = http("302 Found", b"", "Location: http://127.0.0.1:1/")
    with pytest.raises(requests.RequestException, match="redirect"):
        GuardedSession(internal=False).get(local(server))


def test_a_long_answer_is_not_read_to_its_end(local_site, server):
    server.answer = http("200 OK", b"x" * (MAX_ANSWER_BYTES + 1))
    with pytest.raises(requests.RequestException, match="too long"):
        GuardedSession(internal=False).get(local(server))


def test_an_answer_that_breaks_off_is_an_error_that_is_expected(local_site, server):
    server.answer = http("200 OK", b"x" * 10).replace(b"Content-Length: 10", b"Content-Length: 99")
    with pytest.raises(requests.RequestException):
        GuardedSession(internal=False).get(local(server))


def test_a_proxy_of_the_environment_is_not_used(local_site, server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server.answer = http("200 OK", b"{}")
    assert GuardedSession(internal=False).get(local(server)).status_code == 200
