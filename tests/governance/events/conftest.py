"""A company's transmitter with a key, and a person whom it speaks about."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.test import Client
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from governance.principals import SYSTEM, Role

ISSUER = "https://idp.example"
AUDIENCE = "https://openclaw.example/events"
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"


class Company:
    """An identity provider that signs security events."""

    def __init__(self, tenant, key: JWK | None = None) -> None:
        from governance.events import services
        from governance.tenants.context import platform_scope

        self.key = key or JWK.generate(kty="EC", crv="P-256", kid="one", use="sig")
        with platform_scope():
            self.transmitter = services.add_transmitter(
                principal=SYSTEM,
                name="company",
                issuer=ISSUER,
                audience=AUDIENCE,
                jwks={"keys": [self.key.export_public(as_dict=True)]},
                tenant_id=tenant.id,
            )
        self.address = f"/events/caep/{self.transmitter.pk}/"
        self.count = 0

    def claims(self, kind: str = "session-revoked", subject: Any = None, **payload: Any) -> dict[str, Any]:
        """Claims as a transmitter makes them."""
        self.count += 1
        now = int(time.time())
        return {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "jti": f"{self.transmitter.pk}-{self.count}",
            "sub_id": subject or {"format": "email", "email": "nobody@example"},
            "events": {CAEP + kind: {"event_timestamp": now, **payload}},
        }

    def signed(self, claims: Any, *, key: JWK | None = None, alg: str = "ES256", **header: Any) -> str:
        """A token with these claims."""
        key = key or self.key
        jws = JWS(claims if isinstance(claims, (bytes, str)) else json.dumps(claims))
        jws.allowed_algs = [alg]
        kid = key.export_public(as_dict=True).get("kid") if key.has_public else "one"
        names = {"alg": alg, "typ": "secevent+jwt", **({"kid": kid} if kid else {}), **header}
        jws.add_signature(key, protected=json.dumps({k: v for k, v in names.items() if v is not None}))
        return str(jws.serialize(compact=True))

    def push(self, token: str, *, content_type: str = "application/secevent+jwt", address: str = ""):
        """Deliver as RFC 8935 says."""
        return Client().post(address or self.address, token, content_type=content_type)


@pytest.fixture
def company(org) -> Company:
    return Company(org)


@pytest.fixture
def person(org, member):
    user = member(org, Role.DEVELOPER)
    user.email = f"{user.username}@bank.example"
    user.save(update_fields=["email"])
    return user


@pytest.fixture
def about(person) -> dict[str, str]:
    return {"format": "email", "email": person.email.upper()}
