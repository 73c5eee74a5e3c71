"""Where signing keys live: one small interface, and the software provider that keeps them as files.

A PKCS#11 provider can take the software provider's place without any caller noticing.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings
from securesystemslib.signer import CryptoSigner, Key, Signer

FOLDER_MODE = 0o700
FILE_MODE = 0o600
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class KeyProvider(Protocol):
    """Signs with named keys that never leave it. `is_hardware` is what the console shows beside it."""

    is_hardware: bool

    def signer(self, name: str) -> Signer:
        """The signer called `name`, made at its first use."""

    def public_key(self, name: str) -> Key:
        """The public part of the key called `name`."""


class SoftwareKeyProvider:
    """Ed25519 keys (RFC 8032) as PEM files, mode 0600 in a folder of mode 0700: for sites without an HSM."""

    is_hardware = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def signer(self, name: str) -> Signer:
        """The signer called `name`; its key is made at the first use. Raises ValueError for an odd name."""
        path = self._path(name)
        if not path.exists():
            self._make(path)
        return CryptoSigner(load_pem_private_key(path.read_bytes(), password=None))

    def public_key(self, name: str) -> Key:
        """The public part of the key called `name`."""
        return self.signer(name).public_key

    def _path(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a key")
        return self.folder / f"{name}.pem"

    def _make(self, path: Path) -> None:
        self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self.folder.chmod(FOLDER_MODE)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(CryptoSigner.generate_ed25519().private_bytes)
            file.flush()
            os.fsync(file.fileno())
        # Of several processes that make the same key at once, the first complete file wins.
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()


def provider() -> KeyProvider:
    """The provider in use."""
    return SoftwareKeyProvider(settings.OPENCLAW_VAR / "secrets" / "keys")


def signer(name: str) -> Signer:
    """The signer called `name`, for example `tuf-timestamp`."""
    return provider().signer(name)


def public_key(name: str) -> Key:
    """The public key called `name`."""
    return provider().public_key(name)
