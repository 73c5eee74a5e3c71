"""Artifacts on disk, under their own digest: written once, whole or not at all, and never changed.

A path is made of the tenant's id and the SHA-256 of the content alone, so nothing that a user writes reaches the file
system. Two tenants never share a file, although their bytes may be equal.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext as _

from governance.errors import InvalidInput, NotFound

CHUNK_BYTES = 1 << 20
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """What lies in the store."""

    sha256: str
    size_bytes: int
    path: Path


def artifact_path(tenant_id: UUID, sha256: str) -> Path:
    """Where the tenant's artifact with this digest lies. Raises ValueError on anything that is no digest."""
    if not DIGEST.fullmatch(sha256):
        raise ValueError("not a SHA-256 digest")
    return Path(settings.OPENCLAW_VAR) / "artifacts" / str(UUID(str(tenant_id))) / sha256[:2] / sha256


def store_artifact(*, tenant_id: UUID, source: Path, expected_sha256: str = "") -> StoredArtifact:
    """Copy `source` into the tenant's store and return what was kept; storing the same bytes twice changes nothing.

    The digest is taken from the bytes that are written. Raises NotFound when there is no such file and InvalidInput
    when it is empty, no plain file, or not what `expected_sha256` says.
    """
    if source.is_symlink() or not source.is_file():
        raise NotFound(_("The artifact's file is not there."))
    root = artifact_path(tenant_id, "0" * 64).parent.parent
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(prefix=".incoming-", dir=root)
    incoming = Path(name)
    try:
        digest, size = hashlib.sha256(), 0
        with source.open("rb") as reader, os.fdopen(descriptor, "wb") as writer:
            while chunk := reader.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
                writer.write(chunk)
            writer.flush()
            os.fsync(writer.fileno())
        found = digest.hexdigest()
        if not size:
            raise InvalidInput(_("The artifact is empty."))
        if expected_sha256 and found != expected_sha256:
            raise InvalidInput(
                _("The artifact's digest is not the one that was announced."),
                hint=_("Fetch it again; if it stays so, do not use it."),
            )
        final = artifact_path(tenant_id, found)
        final.parent.mkdir(exist_ok=True, mode=0o700)
        incoming.chmod(0o400)
        os.replace(incoming, final)
        _sync(final.parent)
    finally:
        incoming.unlink(missing_ok=True)
    return StoredArtifact(sha256=found, size_bytes=size, path=final)


def is_intact(tenant_id: UUID, sha256: str) -> bool:
    """Whether the artifact lies there with exactly its bytes."""
    digest = hashlib.sha256()
    try:
        with artifact_path(tenant_id, sha256).open("rb") as reader:
            while chunk := reader.read(CHUNK_BYTES):
                digest.update(chunk)
    except FileNotFoundError:
        return False
    return digest.hexdigest() == sha256


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
