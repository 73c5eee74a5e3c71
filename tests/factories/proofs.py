"""Clients that sign DPoP proofs, good and hostile ones."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS

from governance.access.dpop import digest_of


class Key:
    """A client's key pair."""

    def __init__(self, algorithm: str = "ES256") -> None:
        self.algorithm = algorithm
        self.pair = (
            JWK.generate(kty="EC", crv="P-256")
            if algorithm == "ES256"
            else JWK.generate(kty="OKP", crv="Ed25519")
        )
        self.public: dict[str, Any] = json.loads(self.pair.export_public())
        self.jkt: str = self.pair.thumbprint()

    def proof(
        self,
        method: str = "POST",
        url: str = "http://testserver/o/token/",
        token: str = "",
        *,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A proof; `header` and `claims` replace what a good one has, None leaves it out."""
        good = {"jti": secrets.token_urlsafe(12), "htm": method, "htu": url, "iat": int(time.time())}
        if token:
            good["ath"] = digest_of(token)
        top = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.public} | (header or {})
        return self.sign({k: v for k, v in top.items() if v is not None}, _without_none(good | claims))

    def sign(self, header: dict[str, Any], claims: object) -> str:
        """A JWT with this very header, by this key."""
        signed = JWS(claims if isinstance(claims, str) else json.dumps(claims))
        signed.add_signature(self.pair, self.algorithm, json.dumps(header | {"alg": self.algorithm}))
        text = str(signed.serialize(compact=True))
        if header.get("alg") == self.algorithm:
            return text
        # Another algorithm is claimed than was used: the header is put in place of the signed one.
        _header, payload, signature = text.split(".")
        return f"{encoded(json.dumps(header).encode())}.{payload}.{signature}"


def encoded(data: bytes) -> str:
    """base64url without padding."""
    from jwcrypto.common import base64url_encode

    return str(base64url_encode(data))


def _without_none(claims: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if value is not None}
