"""What a model version is loaded from, as the serving path sees it, and how it comes into memory: once, in pieces.

ONNX Runtime takes a graph as `bytes`. By the name of a file it would also open whatever other files the graph names
beside it, which no digest covers. So the artifact is held once, whole, while it is loaded; sealed pieces and plain ones
pass through a buffer of a megabyte, and more than the runtime takes is refused before it is all there.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

MAX_ARTIFACT_BYTES = 2 * 1024**3  # protobuf's own limit
PIECE_BYTES = 1 << 20


class LoadError(Exception):
    """An artifact cannot be served: missing, changed on disk, unreadable, or not what was declared."""


class Sink(Protocol):
    """Where the bytes of an artifact go."""

    def write(self, piece: bytes, /) -> Any: ...


@runtime_checkable
class KeptArtifact(Protocol):
    """A sealed artifact of the registry, which keeps in the audit log that it is read where its label asks for that."""

    def copy_to(self, sink: Sink) -> None:
        """The whole content, piece by piece. Raises OSError, whose text says why."""

    def again(self) -> KeptArtifact:
        """The same for a second look within one load, which is kept as one reading."""


# Or a plain file, where a model server stands alone.
ArtifactFile = KeptArtifact | Path


def again(path: ArtifactFile) -> ArtifactFile:
    """The artifact for a second look within one load."""
    return path if isinstance(path, Path) else path.again()


def read_artifact(path: ArtifactFile, *, sha256: str, most_bytes: int = MAX_ARTIFACT_BYTES) -> bytes:
    """The artifact, read once, so that the bytes whose digest was checked are the bytes that are loaded.

    Raises LoadError. Never holds more than the artifact and an eighth of it (by which a buffer grows).
    """
    held = io.BytesIO()
    _fill(held, path, sha256, most_bytes)
    return held.getvalue()  # of a buffer that nobody else looks at: no copy


def artifact_in_memory(path: ArtifactFile, *, sha256: str, most_bytes: int = MAX_ARTIFACT_BYTES) -> BinaryIO:
    """The artifact as an anonymous file for a child to inherit, gone when nobody has it open. Raises LoadError."""
    file = in_memory()
    try:
        _fill(file, path, sha256, most_bytes)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def in_memory(content: bytes = b"") -> BinaryIO:
    """An anonymous file (memfd_create(2))."""
    file = os.fdopen(os.memfd_create("openclaw"), "w+b")
    file.write(content)
    file.flush()
    return file


class _Checked:
    """Takes what comes, up to a limit, and its digest along."""

    def __init__(self, sink: Sink, most_bytes: int) -> None:
        self.size, self.digest = 0, hashlib.sha256()
        self._sink, self._most_bytes = sink, most_bytes

    def write(self, piece: bytes) -> int:
        self.size += len(piece)
        if self.size > self._most_bytes:
            raise LoadError(f"the artifact is too large; this runtime takes at most {self._most_bytes} bytes")
        self.digest.update(piece)
        self._sink.write(piece)
        return len(piece)


def _fill(sink: Sink, path: ArtifactFile, sha256: str, most_bytes: int) -> None:
    checked = _Checked(sink, most_bytes)
    try:
        if isinstance(path, Path):
            with path.open("rb") as reader:
                shutil.copyfileobj(reader, checked, PIECE_BYTES)
        else:
            path.copy_to(checked)
    except OSError as error:
        raise LoadError(f"the artifact cannot be read: {error.strerror}") from error
    if not hmac.compare_digest(checked.digest.hexdigest(), sha256):
        raise LoadError("the artifact on disk is not the one that was registered (sha256 differs)")
