"""Signing statements about chains. The keys live above this app, so `governance.keys` hands a maker of signers in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import gettext as _
from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Key, Signature, Signer

from governance.errors import Unavailable

SignerFactory = Callable[[str], Signer]
KeysOf = Callable[[str], Iterable[Key]]

_signer: SignerFactory | None = None
_keys_of: KeysOf | None = None


@dataclass(frozen=True, slots=True)
class Seal:
    """A signature with the name of its key. `signature` is hex."""

    key_name: str
    key_id: str
    algorithm: str
    signature: str


def register(signer: SignerFactory, *, keys_of: KeysOf | None = None) -> None:
    """Take signers from `signer(name)`. `keys_of(name)` gives every public key of that name, retired ones as well."""
    global _signer, _keys_of
    _signer, _keys_of = signer, keys_of


def key_name(tenant_id: UUID) -> str:
    """The name of the key that signs a tenant's statements: the id, because a short name may change."""
    return f"audit-{tenant_id}"


def seal(tenant_id: UUID, statement: bytes) -> Seal:
    """Sign a statement with the tenant's key. Raises Unavailable when nobody signs here."""
    if _signer is None:
        raise Unavailable(_("There are no signing keys here, so nothing can be signed."))
    name = key_name(tenant_id)
    signer = _signer(name)
    made = signer.sign(statement)
    return Seal(name, made.keyid, signer.public_key.scheme, made.signature)


def public_keys(name: str) -> dict[str, Key]:
    """The public keys of a name by key id; the provider's word, never the database's."""
    if _signer is None:
        return {}
    keys = _keys_of(name) if _keys_of is not None else [_signer(name).public_key]
    return {key.keyid: key for key in keys}


def holds(seal: Seal, statement: bytes, *, keys: dict[str, Key]) -> bool:
    """Whether the signature is of this statement by one of `keys`."""
    key = keys.get(seal.key_id)
    if key is None:
        return False
    try:
        key.verify_signature(Signature(seal.key_id, seal.signature), statement)
    except (UnverifiedSignatureError, VerificationError, ValueError):
        return False
    return True
