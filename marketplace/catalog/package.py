"""Plugin packages as files: look into an archive, unpack it safely, pack a folder reproducibly.

An archive is read once from the first byte to the last, and everything is counted while it is read; what its
headers claim is only compared. Nothing is written before the names are known to be safe.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from marketplace.catalog.findings import Finding, Severity, gettext_noop, printable
from marketplace.catalog.names import lookalike_key, name_problems
from marketplace.catalog.ziparchive import (
    ArchiveError,
    ByteBudget,
    Openable,
    RawEntry,
    read_data,
    read_directory,
    readable_size,
    refusal,
)

__all__ = [
    "ArchiveEntry",
    "ArchiveError",
    "ArchiveReport",
    "Limits",
    "PackedArchive",
    "extract",
    "inspect_archive",
    "pack",
    "readable_size",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """The sizes a package may have, in bytes; `ratio` is unpacked to packed size of a file above `ratio_from`."""

    archive_bytes: int = 512 << 20
    total_bytes: int = 1 << 30
    file_bytes: int = 512 << 20
    entries: int = 2000
    ratio: int = 100
    ratio_from: int = 1 << 20


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """One file of a package, as it was read."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """A readable, safe archive: its digest (the version's identity) and its files sorted by path."""

    sha256: str
    size_bytes: int
    total_bytes: int
    entries: tuple[ArchiveEntry, ...]


@dataclass(frozen=True, slots=True)
class PackedArchive:
    """What `pack` wrote."""

    path: Path
    sha256: str
    size_bytes: int


_ARCHIVE_MAGIC = (
    b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07", b"\x04\x22\x4d\x18", b"MSCF", b"xar!",
)  # fmt: skip
_TAR_MAGIC_OFFSET = 257
_HEAD_BYTES, _TAIL_BYTES = 512, 66_000


def inspect_archive(path: Openable, *, limits: Limits | None = None) -> ArchiveReport:
    """Read the whole archive without writing anything; raise ArchiveError with every reason found."""
    return _read(path, limits or Limits(), folder=None)


def extract(path: Openable, dest: Path, *, limits: Limits | None = None) -> ArchiveReport:
    """Unpack the archive into the new folder `dest` and return its report.

    Files get mode 0644 and folders 0755, whatever the archive says. `dest` must not exist; it appears only when
    everything was read and found safe. Raises ArchiveError (nothing is left behind) or FileExistsError.
    """
    if dest.exists():
        raise FileExistsError(f"{dest} exists already; a package is unpacked into a new folder")
    dest.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".unpack-", dir=dest.parent))
    try:
        report = _read(path, limits or Limits(), folder=staging)
        staging.chmod(0o755)
        staging.rename(dest)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return report


def _read(path: Openable, limits: Limits, *, folder: Path | None) -> ArchiveReport:
    with path.open("rb") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        if size_bytes > limits.archive_bytes:
            raise refusal(
                "archive-too-large",
                gettext_noop(
                    "The archive has %(size)s; at most %(limit)s are accepted. Make the plugin smaller."
                ),
                size=readable_size(size_bytes),
                limit=readable_size(limits.archive_bytes),
            )
        entries = read_directory(file, size_bytes=size_bytes, max_entries=limits.entries)
        findings = [*_names(entries)]
        if findings:
            raise ArchiveError(findings)
        budget = ByteBudget(
            file_bytes=limits.file_bytes,
            total_bytes=limits.total_bytes,
            ratio=limits.ratio,
            ratio_from=limits.ratio_from,
        )
        files = []
        for entry in entries:
            target = folder / entry.name if folder else None
            if entry.is_folder:
                if target:
                    target.mkdir(mode=0o755, parents=True, exist_ok=True)
                continue
            files.append(_read_file(file, entry, budget, target))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ArchiveReport(
        sha256=digest,
        size_bytes=size_bytes,
        total_bytes=sum(entry.size_bytes for entry in files),
        entries=tuple(sorted(files, key=lambda entry: entry.path)),
    )


def _read_file(file: BinaryIO, entry: RawEntry, budget: ByteBudget, target: Path | None) -> ArchiveEntry:
    digest, size, head, tail = hashlib.sha256(), 0, b"", b""
    out: IO[bytes] | None = None
    if target:
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        out = os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb")
    try:
        for chunk in read_data(file, entry, budget):
            digest.update(chunk)
            size += len(chunk)
            if len(head) < _HEAD_BYTES:
                head += chunk[:_HEAD_BYTES]
            tail = (tail + chunk)[-_TAIL_BYTES:]
            if out:
                out.write(chunk)
    finally:
        if out:
            out.close()
    if _is_archive(head, tail):
        raise refusal(
            "nested",
            gettext_noop(
                "“%(name)s” is an archive inside the archive. Put its files into the plugin's folder."
            ),
            entry.name,
        )
    return ArchiveEntry(path=entry.name, size_bytes=size, sha256=digest.hexdigest())


def _is_archive(head: bytes, tail: bytes) -> bool:
    if head.startswith(_ARCHIVE_MAGIC) or head[_TAR_MAGIC_OFFSET : _TAR_MAGIC_OFFSET + 5] == b"ustar":
        return True
    end = tail.rfind(b"PK\x05\x06")  # a ZIP may follow any other content, so look from the end too
    return (
        end >= 0
        and len(tail) - end >= 22
        and int.from_bytes(tail[end + 20 : end + 22], "little") == (len(tail) - end - 22)
    )


def _names(entries: list[RawEntry]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    files: dict[str, str] = {}
    exact: set[str] = set()
    parents: dict[str, str] = {}
    for entry in entries:
        yield from name_problems(entry.name)
        shown = printable(entry.name)
        if entry.name in exact:
            message = gettext_noop("“%(name)s” is in the archive twice. Pack the plugin again.")
            yield Finding("archive.duplicate", Severity.CRITICAL, message, {"name": shown}, path=shown)
            continue
        exact.add(entry.name)
        key = lookalike_key(entry.name)
        if key in seen:
            message = gettext_noop("“%(name)s” and “%(other)s” look the same. Rename one of them.")
            params = {"name": shown, "other": printable(seen[key])}
            yield Finding("archive.look-alike", Severity.CRITICAL, message, params, path=shown)
        seen[key] = entry.name
        if not entry.is_folder:
            files[key] = entry.name
        parts = entry.name.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            known = parents.setdefault(lookalike_key(parent), parent)
            if known != parent:
                message = gettext_noop(
                    "The folders “%(name)s” and “%(other)s” look the same. Rename one of them."
                )
                params = {"name": printable(parent), "other": printable(known)}
                yield Finding("archive.look-alike", Severity.CRITICAL, message, params, path=shown)
    for key in files.keys() & parents.keys():
        shown = printable(files[key])
        message = gettext_noop("“%(name)s” is both a file and a folder. Rename one of them.")
        yield Finding("archive.file-and-folder", Severity.CRITICAL, message, {"name": shown}, path=shown)


_LEFT_OUT = {"__pycache__", ".git", ".hg", ".svn", ".DS_Store", "Thumbs.db", ".venv", "node_modules"}
_LEFT_OUT_SUFFIXES = {".pyc", ".pyo", ".swp"}
_PACK_TIME = (1980, 1, 1, 0, 0, 0)


def files_to_pack(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (path in the package, file) of what `pack` takes, sorted; raise ArchiveError on links and devices."""
    found: dict[str, Path] = {}
    for current, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in [*folders, *files]:
            path = Path(current) / name
            inside = path.relative_to(folder).as_posix()
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode) or name in _LEFT_OUT or path.suffix in _LEFT_OUT_SUFFIXES:
                continue
            if stat.S_ISLNK(mode):
                message = gettext_noop("“%(name)s” is a symbolic link. Put the file itself into the plugin.")
                raise refusal("symlink", message, inside)
            if not stat.S_ISREG(mode):
                message = gettext_noop(
                    "“%(name)s” is not a regular file. Only files and folders are accepted."
                )
                raise refusal("special-file", message, inside)
            found[inside] = path
    yield from sorted(found.items())


def pack(folder: Path, dest: Path, *, limits: Limits | None = None) -> PackedArchive:
    """Write the plugin in `folder` as a ZIP to `dest`; the same files give the same bytes.

    Entries are sorted, carry one fixed time and mode 0644, and no folders. Version control, caches and editor
    files are left out. The result is inspected before it appears; raises ArchiveError if it would be refused.
    """
    dest.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".pack-", suffix=".zip", dir=dest.parent)
    staging = Path(name)
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", allowZip64=False) as archive:
            for inside, path in files_to_pack(folder):
                if path.resolve() == dest.resolve():
                    continue
                info = zipfile.ZipInfo(inside, _PACK_TIME)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.external_attr = (stat.S_IFREG | 0o644) << 16
                info.create_system = 3
                info.file_size = path.stat().st_size
                with path.open("rb") as source, archive.open(info, "w") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        report = inspect_archive(staging, limits=limits)
        staging.chmod(0o644)
        staging.replace(dest)
    except zipfile.LargeZipFile as error:
        message = gettext_noop("The files are larger than %(limit)s together. Make the plugin smaller.")
        raise refusal("too-large", message, limit=readable_size((limits or Limits()).total_bytes)) from error
    finally:
        with suppress(FileNotFoundError):
            staging.unlink()
    return PackedArchive(path=dest, sha256=report.sha256, size_bytes=report.size_bytes)
