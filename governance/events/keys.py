"""A transmitter's public keys: given with it, or asked for at its address and remembered for an hour."""

from __future__ import annotations

import json
from typing import Any

import requests
from django.core.cache import cache
from django.utils.translation import gettext as _
from jwcrypto.common import JWException
from jwcrypto.jwk import JWK, JWKSet

from governance.errors import InvalidInput
from governance.events.models import Transmitter
from governance.events.tokens import MIN_RSA_BITS, Header, SetRefused, candidates
from governance.identity.fetch import GuardedSession

MAX_KEYS = 50
REMEMBERED_S = 3600
# The address is asked at most this often: a forger must not make us ask on every try.
ASKED_AGAIN_S = 60
SECRET_PARTS = frozenset({"d", "p", "q", "dp", "dq", "qi", "k", "oth"})


def checked_keys(given: Any) -> list[JWK]:
    """The keys of a JWK Set. Raises InvalidInput for what is none, for secrets, and for weak or symmetric keys."""
    rows = given.get("keys") if isinstance(given, dict) else None
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_KEYS:
        raise InvalidInput(_("This is no JWK Set with 1 to %(most)d keys.") % {"most": MAX_KEYS})
    found: list[JWK] = []
    for row in rows:
        if not isinstance(row, dict) or SECRET_PARTS & set(row):
            raise InvalidInput(
                _("A key in the set is secret."), hint=_("Give the public keys only, and replace this one.")
            )
        try:
            key = JWK(**row)
        except (JWException, ValueError, TypeError):
            continue  # a kind that we do not know is no reason to refuse the others
        if key.has_public and not _weak(row):
            found.append(key)
    if not found:
        raise InvalidInput(_("No key of the set can verify a signature that is accepted here."))
    return found


def keys_for(transmitter: Transmitter, header: Header) -> list[JWK]:
    """The transmitter's keys; asked for anew when none of those remembered fits. Raises SetRefused."""
    if transmitter.jwks is not None:
        return checked_keys(transmitter.jwks)
    name = f"openclaw:events:keys:{transmitter.pk}"
    remembered = cache.get(name)
    keys = checked_keys(remembered) if remembered is not None else []
    if candidates(keys, header) or not cache.add(f"{name}:asked", True, ASKED_AGAIN_S):
        return keys
    fetched = _fetch(transmitter)
    try:
        keys = checked_keys(fetched)
    except InvalidInput as error:
        raise SetRefused("invalid_key", "the transmitter's address has no keys that are accepted") from error
    cache.set(name, fetched, REMEMBERED_S)
    return keys


def as_json(keys: list[JWK]) -> dict[str, Any]:
    """The keys as a JWK Set."""
    found = JWKSet()
    for key in keys:
        found.add(key)
    exported: dict[str, Any] = json.loads(found.export(private_keys=False))
    return exported


def _fetch(transmitter: Transmitter) -> Any:
    try:
        with GuardedSession(internal=transmitter.internal_network) as session:
            answer = session.get(transmitter.jwks_url, headers={"Accept": "application/json"})
            answer.raise_for_status()
            return answer.json()
    except (requests.RequestException, ValueError) as error:
        raise SetRefused("invalid_key", "the transmitter's keys cannot be fetched at present") from error


def _weak(row: dict[str, Any]) -> bool:
    # Four base64 characters hold three bytes; a leading zero byte is not written.
    return row.get("kty") == "RSA" and len(str(row.get("n", ""))) * 6 < MIN_RSA_BITS - 8
