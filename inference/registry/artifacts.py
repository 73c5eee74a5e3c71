"""Artifacts in the sealed storage, under their own digest: written whole or not at all, and never changed.

A name is made of the tenant's id and the SHA-256 of the content alone, so nothing that a user writes reaches the
storage. Two tenants never share a file, although their bytes may be equal: each is sealed with its tenant's key.
"""

from __future__ import annotations

import errno
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.utils.translation import gettext as _

from governance.data.house_reads import keep_house_read
from governance.errors import DomainError, InvalidInput, NotFound, Unavailable
from governance.keys import rewriting
from governance.keys.counting import digest_of, pieces
from governance.keys.earlier import EarlierFiles, checked
from governance.keys.storage import SealedPath, SealedStorage, StorageCollection
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context

PURPOSE = "artifact"
STORAGE = SealedStorage(purpose=PURPOSE, folder="artifacts")
DIGEST = re.compile(r"[0-9a-f]{64}")
PIECE_BYTES = 1 << 20


class Sink(Protocol):
    """Where the bytes of an artifact go."""

    def write(self, piece: bytes, /) -> Any: ...


class ArtifactAway(OSError):
    """The artifact cannot be read now: keys or storage are out of reach. Later it may."""


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """What lies in the store."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SealedArtifact:
    """A tenant's artifact, there or not yet: read as a file is, and equal by whose and what it is.

    `version` is the version that it is read for, by whose label the reading is kept in the audit log.
    """

    tenant_id: UUID
    sha256: str
    version: ObjectRef | None = field(default=None, compare=False)
    _kept: bool = field(default=False, compare=False, repr=False)

    @property
    def file(self) -> SealedPath:
        """Where it lies. Raises ValueError on anything that is no digest."""
        return STORAGE.file(UUID(str(self.tenant_id)), _name(self.sha256))

    def open(self) -> BinaryIO:
        """A reader, in the tenant's row scope. What an earlier release left unsealed opens if its digest is right.

        Nothing is kept in the audit log: for what looks at the digest alone.
        """
        try:
            return self.file.open()
        except FileNotFoundError:
            return checked(earlier_folder(self.tenant_id) / _name(self.sha256), self.sha256)

    def exists(self) -> bool:
        """Whether it lies there, sealed or not yet."""
        return self.file.exists() or (earlier_folder(self.tenant_id) / _name(self.sha256)).is_file()

    def again(self) -> SealedArtifact:
        """The same for a second look within one load: the first look was kept for both."""
        return replace(self, _kept=True)

    def read_bytes(self) -> bytes:
        """The content, as `copy_to` gives it."""
        held = io.BytesIO()
        self.copy_to(held)
        return held.getvalue()

    def copy_to(self, sink: Sink) -> None:
        """Write the content to `sink` in pieces, from any thread; kept in the audit log if its label asks for it.

        Raises OSError whose text says why: ArtifactAway for what may pass.
        """
        if self.version is None:
            raise ValueError("an artifact is read for a version: use ModelVersion.artifact")
        is_fresh = connection.connection is None
        try:
            with tenant_context(self.tenant_id), self.open() as reader:
                if not self._kept:
                    keep_house_read(self.version, tenant_id=self.tenant_id, use="load a model version")
                for piece in iter(lambda: reader.read(PIECE_BYTES), b""):
                    sink.write(piece)
        except Unavailable as error:
            raise ArtifactAway(errno.EAGAIN, str(error)) from error
        except (OperationalError, InterfaceError) as error:
            raise ArtifactAway(errno.EAGAIN, "the database does not answer") from error
        except DomainError as error:
            raise OSError(errno.EIO, str(error)) from error
        finally:
            if is_fresh and not connection.in_atomic_block:
                connection.close()  # of the thread that loads models, which asks the database for nothing else


def store_artifact(*, tenant_id: UUID, source: Path, expected_sha256: str = "") -> StoredArtifact:
    """Seal `source` into the tenant's store and return what was kept; storing the same bytes twice changes nothing.

    Raises NotFound when there is no such file and InvalidInput when it is empty, no plain file, changed while it was
    read, or not what `expected_sha256` says.
    """
    if source.is_symlink() or not source.is_file():
        raise NotFound(_("The artifact's file is not there."))
    found, size = digest_of(pieces(source.open("rb")))
    if not size:
        raise InvalidInput(_("The artifact is empty."))
    if expected_sha256 and found != expected_sha256:
        raise _another_digest()
    artifact = SealedArtifact(tenant_id, found)
    # In the place of what lies there: it may have been damaged.
    artifact.file.write(_only(found, source), over=True)
    return StoredArtifact(sha256=found, size_bytes=size)


def is_intact(tenant_id: UUID, sha256: str) -> bool:
    """Whether the artifact lies there with exactly its bytes. Raises Unavailable when that cannot be known now."""
    try:
        found, _size = digest_of(pieces(SealedArtifact(tenant_id, sha256).open()))
    except Unavailable:
        raise
    except (FileNotFoundError, DomainError):
        return False
    return found == sha256


def lock_artifact(tenant_id: UUID, sha256: str) -> None:
    """Be the only one that begins or ends to rely on these bytes of the tenant's until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"artifact {tenant_id} {sha256}"]
        )


def remove_artifact(*, tenant_id: UUID, sha256: str) -> None:
    """Remove the tenant's artifact with this digest for good; one that is not there is no error."""
    SealedArtifact(tenant_id, sha256).file.delete()
    (earlier_folder(tenant_id) / _name(sha256)).unlink(missing_ok=True)


def earlier_folder(tenant_id: UUID) -> Path:
    """Where an earlier release kept a tenant's artifacts, unsealed."""
    return Path(settings.OPENCLAW_VAR) / "artifacts" / str(UUID(str(tenant_id)))


def register_files() -> None:
    """Include artifacts in every re-encryption, which also seals what an earlier release left."""
    rewriting.register(StorageCollection("registry.artifacts", STORAGE))
    rewriting.register(
        EarlierFiles("registry.earlier-artifacts", STORAGE, earlier_folder, lambda name: name, _earlier)
    )


def _earlier(path: Path, tenant_id: UUID, relative: str) -> BinaryIO:
    return checked(path, path.name)


def _name(sha256: str) -> str:
    if not DIGEST.fullmatch(sha256):
        raise ValueError("not a SHA-256 digest")
    return f"{sha256[:2]}/{sha256}"


def _only(sha256: str, source: Path) -> Iterator[bytes]:
    """The bytes of `source`. Raises at their end, before they are kept, when they are not those of the digest."""
    digest = hashlib.sha256()
    for piece in pieces(source.open("rb")):
        digest.update(piece)
        yield piece
    if digest.hexdigest() != sha256:
        raise _another_digest()


def _another_digest() -> InvalidInput:
    return InvalidInput(
        _("The artifact's digest is not the one that was announced."),
        hint=_("Fetch it again; if it stays so, do not use it."),
    )
