"""Where keys live: one small interface, and the provider in use. No caller notices which one it is."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings
from securesystemslib.signer import Key, Signer

from governance.keys.errors import KeysUnavailable
from governance.keys.providers.base import KeyProvider, ProviderStatus
from governance.keys.providers.connection import TokenAddress
from governance.keys.providers.software import SoftwareKeyProvider
from governance.keys.providers.token import PKCS11Provider

__all__ = [
    "KeyProvider",
    "PKCS11Provider",
    "ProviderStatus",
    "SoftwareKeyProvider",
    "TokenAddress",
    "provider",
    "provider_named",
    "public_key",
    "public_keys",
    "signer",
]


def provider() -> KeyProvider:
    """The provider in use: new keys are made there."""
    return provider_named(settings.OPENCLAW_KEY_PROVIDER)


def provider_named(name: str) -> KeyProvider:
    """The provider that holds a key, in use or not: keys stay readable where they are after a change of provider.

    Raises KeysUnavailable for a token that the settings no longer name.
    """
    files = SoftwareKeyProvider(Path(settings.OPENCLAW_VAR) / "secrets" / "keys")
    if name == SoftwareKeyProvider.name:
        return files
    if settings.OPENCLAW_PKCS11 is None:
        raise KeysUnavailable("the settings name no PKCS#11 module, but there are keys in a token")
    return _token(TokenAddress(**settings.OPENCLAW_PKCS11), files.folder)


@lru_cache(maxsize=8)
def _token(address: TokenAddress, folder: Path) -> PKCS11Provider:
    return PKCS11Provider(address, SoftwareKeyProvider(folder))


def signer(name: str) -> Signer:
    """The signer called `name`, for example `tuf-timestamp`."""
    return provider().signer(name)


def public_key(name: str) -> Key:
    """The public key called `name`."""
    return provider().public_key(name)


def public_keys(name: str) -> list[Key]:
    """Every public key of that name: the one in use, and the file's that may have signed before there was a token."""
    files = provider_named(SoftwareKeyProvider.name)
    assert isinstance(files, SoftwareKeyProvider)
    keys = {key.keyid: key for key in [public_key(name)]}
    if files.has_signing_key(name):
        old = files.public_key(name)
        keys.setdefault(old.keyid, old)
    return list(keys.values())
