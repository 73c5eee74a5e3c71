"""Keys at an address: asked for once, anew when an unknown one is named, and seldom enough for a forger."""

from __future__ import annotations

import http.server
import json
import threading

import pytest
from django.core.cache import cache
from django.db import transaction
from jwcrypto.jwk import JWK

from governance.events.models import Transmitter
from governance.tenants.context import platform_scope
from tests.governance.events.conftest import Company

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


class Address:
    """A web server of the company on this machine, with its present keys."""

    def __init__(self):
        self.asked, self.answer, self.status = 0, b"", 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                self.send_response(outer.status)
                self.send_header("Location", "http://127.0.0.1/elsewhere")
                self.end_headers()
                self.wfile.write(outer.answer)

            def log_message(self, *_args):
                """Nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def publish(self, *keys):
        self.answer = json.dumps({"keys": [key.export_public(as_dict=True) for key in keys]}).encode()


@pytest.fixture
def address(settings):
    settings.PUBLIC_URL = "http://127.0.0.1:8000"  # only a site on this machine may ask this machine
    found = Address()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def company(org, address):
    company = Company(org)
    with platform_scope(), transaction.atomic():
        Transmitter.objects.filter(pk=company.transmitter.pk).update(jwks=None, jwks_url=address.url)
    address.publish(company.key)
    return company


def test_the_keys_are_asked_for_once(company, address):
    for _ in range(3):
        assert company.push(company.signed(company.claims())).status_code == 202
    assert address.asked == 1


def test_a_new_key_is_found_and_a_forger_does_not_make_us_ask_on_every_try(company, address):
    assert company.push(company.signed(company.claims())).status_code == 202
    new = JWK.generate(kty="EC", crv="P-256", kid="two", use="sig")
    address.publish(company.key, new)
    for _ in range(3):
        assert company.push(company.signed(company.claims(), key=new)).json()["err"] == "invalid_key"
    assert address.asked == 1, "asked a moment ago"
    cache.delete(f"openclaw:events:keys:{company.transmitter.pk}:asked")  # as if a minute had passed
    assert company.push(company.signed(company.claims(), key=new)).status_code == 202
    assert address.asked == 2


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, b""),
        (302, b""),
        (200, b"no json"),
        (200, b"{}"),
        (200, b'{"keys": [{"kty": "oct", "k": "eA"}]}'),
    ],
)
def test_an_address_without_proper_keys_lets_nothing_in(company, address, status, answer):
    address.status, address.answer = status, answer
    refused = company.push(company.signed(company.claims()))
    assert (refused.status_code, refused.json()["err"]) == (400, "invalid_key")
