"""Uploaded archives: taking them into quarantine, and looking into them without unpacking."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, BinaryIO

from django.utils.translation import gettext as _

from governance.errors import InvalidInput, NotFound, TooLarge
from governance.keys.storage import Written
from marketplace.catalog.findings import PackageProblem
from marketplace.catalog.manifest import MANIFEST_NAME, Manifest, parse_manifest
from marketplace.catalog.package import Limits
from marketplace.catalog.quarantine import UploadedArchive
from marketplace.catalog.ziparchive import ByteBudget, Openable, RawEntry, read_data, read_directory

CHUNK = 1 << 20
MAX_SHOWN_BYTES = 256 << 10
MAX_MANIFEST_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file of an archive as its directory names it."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FileContent:
    """The text of a file, or why there is none to show."""

    path: str
    size_bytes: int
    text: str
    is_text: bool
    truncated: bool


def take_in(file: IO[bytes], archive: UploadedArchive, *, limit_bytes: int) -> Written:
    """Seal an upload into quarantine as it is read. Raises TooLarge and InvalidInput; leaves nothing then."""
    return archive.write(_limited(file, limit_bytes))


def _limited(file: IO[bytes], limit_bytes: int) -> Iterator[bytes]:
    size = 0
    while chunk := file.read(CHUNK):
        size += len(chunk)
        if size > limit_bytes:
            raise TooLarge(
                _("The file is larger than %(limit)d MiB.") % {"limit": limit_bytes >> 20},
                hint=_("Make the package smaller and upload it again."),
            )
        yield chunk
    if not size:
        raise InvalidInput(_("The file is empty."))


def peek_manifest(path: Openable) -> Manifest | None:
    """The manifest if the archive has a valid one; None otherwise: the checks will say what is wrong."""
    try:
        with _entries(path) as (file, entries):
            entry = next((e for e in entries if e.name == MANIFEST_NAME), None)
            return parse_manifest(_bytes(file, entry, MAX_MANIFEST_BYTES + 1)) if entry else None
    except PackageProblem:
        return None


def list_files(path: Openable) -> list[ArchiveFile]:
    """The archive's files by path; nothing when it cannot be read."""
    try:
        with _entries(path) as (_file, entries):
            found = [ArchiveFile(e.name, e.size) for e in entries if not e.is_folder]
    except PackageProblem:
        return []
    return sorted(found, key=lambda f: f.path)


def read_text(path: Openable, name: str) -> FileContent:
    """The beginning of a file (256 KiB) as text. Raises NotFound; never shows binary data."""
    try:
        with _entries(path) as (file, entries):
            entry = next((e for e in entries if e.name == name and not e.is_folder), None)
            if entry is None:
                raise NotFound(_("There is no such file in the package."))
            data = _bytes(file, entry, MAX_SHOWN_BYTES)
            size = entry.size
    except PackageProblem as problem:
        raise NotFound(_("The archive cannot be read.")) from problem
    truncated = size > len(data)
    text = _as_text(data, truncated=truncated)
    return FileContent(name, size, text or "", is_text=text is not None, truncated=truncated)


def digests(path: Openable) -> dict[str, str]:
    """SHA-256 by path of every file in the archive; nothing when it cannot be read."""
    found: dict[str, str] = {}
    try:
        with _entries(path) as (file, entries):
            budget = _budget()
            for entry in entries:
                if not entry.is_folder:
                    digest = hashlib.sha256()
                    for chunk in read_data(file, entry, budget):
                        digest.update(chunk)
                    found[entry.name] = digest.hexdigest()
    except PackageProblem:
        return {}
    return found


@contextmanager
def _entries(path: Openable) -> Iterator[tuple[BinaryIO, list[RawEntry]]]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        yield file, read_directory(file, size_bytes=size, max_entries=Limits().entries)


def _budget() -> ByteBudget:
    limits = Limits()
    return ByteBudget(
        file_bytes=limits.file_bytes,
        total_bytes=limits.total_bytes,
        ratio=limits.ratio,
        ratio_from=limits.ratio_from,
    )


def _bytes(file: BinaryIO, entry: RawEntry, limit: int) -> bytes:
    parts, size = [], 0
    for chunk in read_data(file, entry, _budget()):
        parts.append(chunk)
        size += len(chunk)
        if size >= limit:
            break
    return b"".join(parts)[:limit]


def _as_text(data: bytes, *, truncated: bool) -> str | None:
    if b"\x00" in data:
        return None
    for cut in range(4 if truncated else 1):  # a multi-byte character may be cut in two
        try:
            return data[: len(data) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return None
