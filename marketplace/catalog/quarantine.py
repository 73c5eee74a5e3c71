"""Partners' uploads on disk: sealed with the partner's key before a byte is kept, and opened for the checks alone.

What an earlier release left unsealed below the state folder opens if its digest is right, until re-encryption or the
daily sweep has moved it in here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from uuid import UUID

from django.conf import settings

from governance.keys.earlier import checked
from governance.keys.storage import SealedPath, SealedStorage, Written
from governance.tenants.context import tenant_context

PURPOSE = "plugin-upload"
FOLDER = "quarantine"
STORAGE = SealedStorage(purpose=PURPOSE, folder=FOLDER)


@dataclass(frozen=True, slots=True)
class UploadedArchive:
    """A partner's archive as its row names it; the part of a `pathlib.Path` that readers of archives use."""

    tenant_id: UUID
    path: str
    sha256: str

    @property
    def file(self) -> SealedPath:
        """Where it lies, sealed."""
        return STORAGE.file(UUID(str(self.tenant_id)), PurePosixPath(self.path).name)

    @property
    def earlier(self) -> Path:
        """Where an earlier release kept it, unsealed."""
        return Path(settings.OPENCLAW_VAR) / self.path

    def open(self, mode: str = "rb") -> BinaryIO:
        """A seekable reader in bounded memory, in whatever row scope.

        Raises FileNotFoundError, a subclass of Unsealable, KeyDestroyed or Unavailable; Conflict when an unsealed file
        of an earlier release is not what was uploaded.
        """
        with tenant_context(self.tenant_id):
            try:
                return self.file.open(mode)
            except FileNotFoundError:
                return checked(self.earlier, self.sha256)

    def write(self, chunks: Iterable[bytes]) -> Written:
        """Seal the chunks as they come; the file is there whole or not at all. What `chunks` raises, ends it."""
        with tenant_context(self.tenant_id):
            return self.file.write(chunks)

    def exists(self) -> bool:
        """Whether it lies here, sealed or not yet."""
        return self.file.exists() or self.earlier.is_file()

    def delete(self) -> None:
        """Remove it for good; one that is not there is no error."""
        self.file.delete()
        self.earlier.unlink(missing_ok=True)


def archive_path(tenant_id: UUID, submission_id: UUID) -> str:
    """What the row of an upload keeps about where its archive lies."""
    return f"{FOLDER}/{tenant_id}/{submission_id}.zip"


def earlier_folder(tenant_id: UUID) -> Path:
    """Where an earlier release kept a partner's uploads, unsealed."""
    return Path(settings.OPENCLAW_VAR) / FOLDER / str(UUID(str(tenant_id)))
