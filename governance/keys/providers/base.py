"""What every place where keys live can do. Callers get wrapped keys and signers, never key material."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from securesystemslib.signer import Key, Signer

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """Whether the provider answers. `detail` is for administrators; `warnings` stand on the console until resolved."""

    ok: bool
    detail: str = ""
    warnings: tuple[str, ...] = ()


class KeyProvider(Protocol):
    """Keeps wrapping keys and signing keys, by name. `label` and `is_hardware` are what the console shows.

    Every method raises KeysUnavailable when the place does not answer, and ValueError for an odd name.
    """

    name: str

    @property
    def label(self) -> str:
        """What it is, in words."""

    @property
    def is_hardware(self) -> bool:
        """Whether it says of itself that keys live in hardware."""

    def create_wrapping_key(self, name: str) -> None:
        """Make an AES-256 wrapping key. Raises ValueError when there is one of that name."""

    def destroy_wrapping_key(self, name: str) -> None:
        """Erase a wrapping key for good; one that is gone already is no error."""

    def wrap(self, name: str, data_key: bytes, aad: bytes) -> bytes:
        """The data key under the wrapping key: nonce (12 bytes), AES-256-GCM ciphertext and tag."""

    def unwrap(self, name: str, wrapped: bytes, aad: bytes) -> bytes:
        """Undo `wrap`. Raises UnknownKey for a key that is gone, Altered when bytes or `aad` are not the same."""

    def signer(self, name: str) -> Signer:
        """The signer called `name`, made at its first use."""

    def public_key(self, name: str) -> Key:
        """The public part of the key called `name`."""

    def status(self) -> ProviderStatus:
        """Ask the place itself whether it can be used now. Never raises."""


def checked_name(name: str) -> str:
    """The name, or ValueError when it could mean something else to a file system or a token."""
    if not NAME.fullmatch(name) or len(name) > 100:
        raise ValueError(f"{name!r} is no name for a key")
    return name
