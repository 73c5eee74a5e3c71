"""Keys as files, for sites without a hardware security module: the embedded default."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.utils.translation import gettext as _
from securesystemslib.signer import CryptoSigner, Key, Signer

from governance.keys.errors import Altered, KeysUnavailable, UnknownKey
from governance.keys.providers.base import ProviderStatus, checked_name

FOLDER_MODE = 0o700
FILE_MODE = 0o600
NONCE_BYTES = 12
KEY_BYTES = 32


class SoftwareKeyProvider:
    """Files of mode 0600 in a folder of mode 0700: Ed25519 keys (RFC 8032) as PEM, wrapping keys as 32 raw bytes."""

    name = "software"
    is_hardware = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def label(self) -> str:
        return _("Key files on this machine")

    def create_wrapping_key(self, name: str) -> None:
        """Make a wrapping key. Raises ValueError when there is one of that name."""
        path = self._wrapping_path(name)
        if not self._write_once(path, secrets.token_bytes(KEY_BYTES)):
            raise ValueError(f"there is a wrapping key {name!r} already")

    def destroy_wrapping_key(self, name: str) -> None:
        """Overwrite and remove the file; a file system that keeps old blocks or backups needs care of its own."""
        path = self._wrapping_path(name)
        with suppress(FileNotFoundError):
            with path.open("r+b") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            self._sync_folder()

    def wrap(self, name: str, data_key: bytes, aad: bytes) -> bytes:
        """The data key under the wrapping key."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher(name).encrypt(nonce, data_key, aad)

    def unwrap(self, name: str, wrapped: bytes, aad: bytes) -> bytes:
        """Undo `wrap`. Raises UnknownKey or Altered."""
        try:
            return self._cipher(name).decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], aad)
        except (InvalidTag, ValueError) as error:
            raise Altered from error

    def signer(self, name: str) -> Signer:
        """The signer called `name`; its key is made at the first use. Raises ValueError for an odd name."""
        path = self.folder / f"{checked_name(name)}.pem"
        if not path.exists():
            self._write_once(path, CryptoSigner.generate_ed25519().private_bytes)
        return CryptoSigner(load_pem_private_key(path.read_bytes(), password=None))

    def public_key(self, name: str) -> Key:
        """The public part of the key called `name`."""
        return self.signer(name).public_key

    def has_signing_key(self, name: str) -> bool:
        """Whether there is a signing key of that name already."""
        return (self.folder / f"{checked_name(name)}.pem").exists()

    def signing_keys(self, prefix: str = "") -> list[str]:
        """The names of the signing keys there are."""
        return sorted(path.stem for path in self.folder.glob(f"{prefix}*.pem"))

    def status(self) -> ProviderStatus:
        """Whether the folder can be used, and the standing warning."""
        warning = _(
            "Keys are kept in files: whoever can read this machine's disk can read everything sealed."
        )
        try:
            self._make_folder()
            usable = os.access(self.folder, os.R_OK | os.W_OK | os.X_OK)
        except OSError:
            usable = False
        detail = "" if usable else _("The folder of the keys cannot be read and written.")
        return ProviderStatus(usable, detail, (warning,))

    def _wrapping_path(self, name: str) -> Path:
        return self.folder / f"{checked_name(name)}.wrap"

    def _cipher(self, name: str) -> AESGCM:
        try:
            return AESGCM(self._wrapping_path(name).read_bytes())
        except FileNotFoundError as error:
            if self.folder.is_dir():
                raise UnknownKey from error
            raise KeysUnavailable("the folder of the keys is not there") from error
        except OSError as error:
            raise KeysUnavailable(f"a key file cannot be read: {error.strerror}") from error

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self.folder.chmod(FOLDER_MODE)

    def _write_once(self, path: Path, content: bytes) -> bool:
        """Write a new file; of several processes that do so at once, the first complete file wins."""
        try:
            self._make_folder()
            draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise KeysUnavailable(f"a key file cannot be written: {error.strerror}") from error
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        self._sync_folder()
        return True

    def _sync_folder(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
