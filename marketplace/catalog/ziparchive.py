"""A strict reader of ZIP files: one reading only, nothing hidden, nothing believed before it is counted.

Ordinary ZIP libraries are lenient, and two of them may see two different packages in one file. This reader takes
only files in which every byte is accounted for: local entries one after the other from the first byte, then the
central directory, then its end record, no gap, no overlap, no comment (APPNOTE.TXT 6.3, without ZIP64).
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

from marketplace.catalog.findings import Finding, PackageProblem, Severity, gettext_noop, printable

_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_FLAG_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_FLAG_DESCRIPTOR, _FLAG_UTF8 = 0x0008, 0x0800
_FLAGS_KNOWN = 0x0006 | _FLAG_DESCRIPTOR | _FLAG_UTF8
# Times and owners that packers add. Others may give an entry a second name, size or encryption.
_HARMLESS_EXTRAS = {0x5455, 0x7875, 0x7855, 0x5855, 0x000A, 0xCAFE}
_MODE_BITS_REFUSED = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
_CHUNK = 1 << 16
_MAX_DIRECTORY_BYTES = 8 << 20


class Openable(Protocol):
    """An archive wherever it lies: a `pathlib.Path`, or what is sealed."""

    def open(self, mode: str) -> Any:
        """A seekable reader for mode `rb`."""


class ArchiveError(PackageProblem):
    """The archive is refused; the findings are meant for its publisher."""


@dataclass(frozen=True, slots=True)
class RawEntry:
    """One entry as the central directory describes it; sizes are claims until the data is read."""

    name: str
    is_folder: bool
    method: int
    crc: int
    compressed_size: int
    size: int
    data_offset: int
    mode: int


class ByteBudget:
    """Counts bytes as they come out of a decompressor and refuses what is beyond the limits."""

    def __init__(self, *, file_bytes: int, total_bytes: int, ratio: int, ratio_from: int) -> None:
        self.file_bytes = file_bytes
        self.left = total_bytes
        self.total_bytes = total_bytes
        self.ratio = ratio
        self.ratio_from = ratio_from

    def take(self, entry: RawEntry, so_far: int, chunk: int) -> None:
        """Account for `chunk` more bytes of `entry` after `so_far`; raise ArchiveError past a limit."""
        size = so_far + chunk
        self.left -= chunk
        if size > self.ratio_from and size > self.ratio * max(entry.compressed_size, 1):
            raise refusal(
                "bomb",
                gettext_noop(
                    "“%(name)s” unpacks to more than %(ratio)d times its packed size, as a zip bomb does. "
                    "Remove the file or shorten it."
                ),
                entry.name,
                ratio=self.ratio,
            )
        if size > self.file_bytes:
            raise refusal(
                "file-too-large",
                gettext_noop("“%(name)s” is larger than %(limit)s. Make the file smaller."),
                entry.name,
                limit=readable_size(self.file_bytes),
            )
        if self.left < 0:
            raise refusal(
                "too-large",
                gettext_noop("The files are larger than %(limit)s together. Make the plugin smaller."),
                entry.name,
                limit=readable_size(self.total_bytes),
            )


def readable_size(size_bytes: int) -> str:
    """Return a size as people write it: `512 MiB`."""
    amount = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if amount == int(amount) else f"{amount:.1f} {unit}"


def refusal(code: str, message: str, name: str = "", **params: object) -> ArchiveError:
    """Return the error with one critical finding about the entry `name`."""
    shown = printable(name)
    if "%(name)s" in message:
        params["name"] = shown
    return ArchiveError([Finding(f"archive.{code}", Severity.CRITICAL, message, params, path=shown)])


_DAMAGED = gettext_noop(
    "The file is not a complete ZIP archive. Pack the plugin again and upload it once more."
)
_AMBIGUOUS = gettext_noop(
    "The ZIP archive has bytes that belong to no entry, or entries that overlap. Pack the plugin again with "
    "“openclaw plugin pack”."
)
_DISAGREES = gettext_noop(
    "The archive describes “%(name)s” in two different ways. Pack the plugin again with “openclaw plugin pack”."
)


def read_directory(file: BinaryIO, *, size_bytes: int, max_entries: int) -> list[RawEntry]:
    """Read and cross-check the structure of the ZIP in `file`; raise ArchiveError if anything is out of place."""
    if size_bytes < _END.size:
        raise refusal("damaged", _DAMAGED)
    file.seek(size_bytes - _END.size)
    magic, disk, start_disk, here, count, length, offset, comment = _END.unpack(file.read(_END.size))
    if magic != b"PK\x05\x06":
        file.seek(0)
        is_zip = file.read(2) == b"PK"
        raise refusal("ambiguous", _AMBIGUOUS) if is_zip else refusal("damaged", _DAMAGED)
    if count == 0xFFFF or offset == 0xFFFFFFFF or length == 0xFFFFFFFF:
        raise refusal(
            "zip64", gettext_noop("ZIP64 archives are not accepted. Pack with “openclaw plugin pack”.")
        )
    if length > _MAX_DIRECTORY_BYTES:
        raise refusal("ambiguous", _AMBIGUOUS)
    if disk or start_disk or here != count or comment or offset + length != size_bytes - _END.size:
        raise refusal("ambiguous", _AMBIGUOUS)
    if count == 0:
        raise refusal(
            "empty", gettext_noop("The archive is empty. Pack the plugin's folder and upload it again.")
        )
    if count > max_entries:
        raise refusal(
            "too-many-files",
            gettext_noop("The archive has %(count)d entries; at most %(limit)d are accepted. Remove files."),
            count=count,
            limit=max_entries,
        )
    file.seek(offset)
    directory = file.read(length)
    position, expected, entries = 0, 0, []
    for _ in range(count):
        entry, position, expected = _read_entry(file, directory, position, expected, limit=offset)
        entries.append(entry)
    if position != length or expected != offset:
        raise refusal("ambiguous", _AMBIGUOUS)
    return entries


def _read_entry(
    file: BinaryIO, directory: bytes, position: int, expected: int, *, limit: int
) -> tuple[RawEntry, int, int]:
    """Read the central record at `position` and its local header, which must start at `expected`."""
    if position + _CENTRAL.size > len(directory):
        raise refusal("damaged", _DAMAGED)
    (magic, made_by, _, flags, method, _, _, crc, packed, size, name_len, extra_len, comment_len, disk, _, attributes,
     offset) = _CENTRAL.unpack_from(directory, position)  # fmt: skip
    tail = directory[position + _CENTRAL.size : position + _CENTRAL.size + name_len + extra_len]
    if magic != b"PK\x01\x02" or len(tail) != name_len + extra_len or disk:
        raise refusal("damaged", _DAMAGED)
    raw_name, extra = tail[:name_len], tail[name_len:]
    name = _decode(raw_name, flags)
    if comment_len:
        raise refusal("ambiguous", _AMBIGUOUS)
    _refuse_features(name, flags, method, extra)
    if offset != expected:
        raise refusal("ambiguous", _AMBIGUOUS)

    file.seek(offset)
    header = file.read(_LOCAL.size)
    if len(header) != _LOCAL.size:
        raise refusal("damaged", _DAMAGED)
    (l_magic, _, l_flags, l_method, _, _, l_crc, l_packed, l_size, l_name_len, l_extra_len) = _LOCAL.unpack(
        header
    )
    l_name, l_extra = file.read(l_name_len), file.read(l_extra_len)
    described = bool(flags & _FLAG_DESCRIPTOR)
    local, central = (l_crc, l_packed, l_size), (crc, packed, size)
    if l_magic != b"PK\x03\x04" or l_name != raw_name or l_flags != flags or l_method != method:
        raise refusal("disagrees", _DISAGREES, name)
    if local != central and not (described and local == (0, 0, 0)):
        raise refusal("disagrees", _DISAGREES, name)
    _refuse_features(name, flags, method, l_extra)

    data_offset = offset + _LOCAL.size + l_name_len + l_extra_len
    end = data_offset + packed
    if end > limit:
        raise refusal("damaged", _DAMAGED)
    if described:
        end += _descriptor_length(file, end, central, name)
    is_folder = name.endswith("/")
    mode = attributes >> 16 if made_by >> 8 == 3 else 0
    _refuse_mode(name, mode, is_folder=is_folder, size=size, attributes=attributes)
    entry = RawEntry(
        name=name.removesuffix("/"),
        is_folder=is_folder,
        method=method,
        crc=crc,
        compressed_size=packed,
        size=size,
        data_offset=data_offset,
        mode=mode,
    )
    return entry, position + _CENTRAL.size + name_len + extra_len, end


def _decode(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & _FLAG_UTF8 else "ascii")
    except UnicodeDecodeError as error:
        raise refusal(
            "name-encoding",
            gettext_noop(
                "“%(name)s” is not written in UTF-8. Rename the file or pack with “openclaw plugin pack”."
            ),
            raw.decode("latin-1"),
        ) from error


def _refuse_features(name: str, flags: int, method: int, extra: bytes) -> None:
    if flags & _FLAG_ENCRYPTED:
        raise refusal("encrypted", gettext_noop("“%(name)s” is encrypted. Pack without a password."), name)
    if flags & ~_FLAGS_KNOWN:
        raise refusal("disagrees", _DISAGREES, name)
    if method not in (_STORED, _DEFLATED):
        raise refusal(
            "compression",
            gettext_noop("“%(name)s” uses an unusual compression. Pack with “stored” or “deflate”."),
            name,
        )
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind not in _HARMLESS_EXTRAS:
            raise refusal("disagrees", _DISAGREES, name)
        position += 4 + length
    if position != len(extra):
        raise refusal("damaged", _DAMAGED)


def _refuse_mode(name: str, mode: int, *, is_folder: bool, size: int, attributes: int) -> None:
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        raise refusal(
            "symlink",
            gettext_noop("“%(name)s” is a symbolic link. Put the file itself into the plugin."),
            name,
        )
    allowed = (0, stat.S_IFDIR) if is_folder else (0, stat.S_IFREG)
    if kind not in allowed or mode & _MODE_BITS_REFUSED:
        raise refusal(
            "special-file",
            gettext_noop("“%(name)s” is not a regular file. Only files and folders are accepted."),
            name,
        )
    if (is_folder and size) or (not is_folder and not mode and attributes & 0x10):
        raise refusal("disagrees", _DISAGREES, name)


def _descriptor_length(file: BinaryIO, offset: int, central: tuple[int, int, int], name: str) -> int:
    file.seek(offset)
    data = file.read(16)
    record = struct.pack("<3L", *central)
    if data == b"PK\x07\x08" + record:
        return 16
    if data[:12] == record:
        return 12
    raise refusal("disagrees", _DISAGREES, name)


def read_data(file: BinaryIO, entry: RawEntry, budget: ByteBudget) -> Iterator[bytes]:
    """Yield the bytes of `entry`, counted against `budget` before they are handed out; size and CRC are verified."""
    file.seek(entry.data_offset)
    left, size, crc = entry.compressed_size, 0, 0
    inflater = zlib.decompressobj(-zlib.MAX_WBITS) if entry.method == _DEFLATED else None
    damaged = gettext_noop("“%(name)s” is damaged in the archive. Pack the plugin again.")
    while left:
        packed = file.read(min(left, _CHUNK))
        if not packed:
            raise refusal("damaged-file", damaged, entry.name)
        left -= len(packed)
        while packed:
            try:
                chunk = inflater.decompress(packed, _CHUNK) if inflater else packed
            except zlib.error as error:
                raise refusal("damaged-file", damaged, entry.name) from error
            packed = inflater.unconsumed_tail if inflater else b""
            if inflater and inflater.unused_data:
                raise refusal("ambiguous", _AMBIGUOUS)
            if chunk:
                budget.take(entry, size, len(chunk))
                size += len(chunk)
                crc = zlib.crc32(chunk, crc)
                yield chunk
            elif inflater and inflater.eof and (packed or left):
                raise refusal("ambiguous", _AMBIGUOUS)
    if inflater is not None:
        for chunk in _drain(inflater):
            budget.take(entry, size, len(chunk))
            size += len(chunk)
            crc = zlib.crc32(chunk, crc)
            yield chunk
        if not inflater.eof:
            raise refusal("damaged-file", damaged, entry.name)
    if size != entry.size or crc != entry.crc:
        raise refusal("damaged-file", damaged, entry.name)


def _drain(inflater: zlib._Decompress) -> Iterator[bytes]:
    while not inflater.eof:
        chunk = inflater.decompress(inflater.unconsumed_tail, _CHUNK)
        if not chunk:
            return
        yield chunk
