"""Where keys live: one small interface, and the provider in use. No caller notices which one it is."""

from __future__ import annotations

from django.conf import settings
from securesystemslib.signer import Key, Signer

from governance.keys.providers.base import KeyProvider, ProviderStatus
from governance.keys.providers.software import SoftwareKeyProvider

__all__ = ["KeyProvider", "ProviderStatus", "SoftwareKeyProvider", "provider", "public_key", "signer"]


def provider() -> KeyProvider:
    """The provider in use."""
    return SoftwareKeyProvider(settings.OPENCLAW_VAR / "secrets" / "keys")


def signer(name: str) -> Signer:
    """The signer called `name`, for example `tuf-timestamp`."""
    return provider().signer(name)


def public_key(name: str) -> Key:
    """The public key called `name`."""
    return provider().public_key(name)
