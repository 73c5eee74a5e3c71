"""Rows of an uploaded file, each with its place, so that a shard can be read without what lies before it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO, Protocol

from inference.serving.models import BatchJob

MAX_LINE_BYTES = 1 << 20
MAX_COLUMNS = 100_000


class UnreadableFile(Exception):
    """The file as a whole cannot be read; the message is for the person who sent it."""


class Readable(Protocol):
    """A file that can be opened again and again, each time at its beginning."""

    def open(self) -> BinaryIO:
        """A seekable reader of bytes."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as it stands in the file. `row` and `line` count from 1, `end` is the byte after it."""

    row: int
    line: int
    start: int
    end: int
    data: bytes | list[str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading begins (and, with `end`, where it stops)."""

    byte: int = 0
    row: int = 1
    line: int = 1
    end: int | None = None


def read_rows(path: Readable, format: str, place: Place | None = None) -> Iterator[RawRow]:
    """The rows from a place on; blank lines are none. Raises UnreadableFile."""
    with path.open() as file:
        if format == BatchJob.Format.JSONL:
            yield from _json_lines(file, place or Place())
        else:
            yield from _csv_rows(file, place)


def read_header(path: Readable) -> list[str]:
    """The column names of a CSV file. Raises UnreadableFile when there are none."""
    with path.open() as file:
        names = next(csv.reader(_Lines(file)), [])
    if not any(name.strip() for name in names):
        raise UnreadableFile("The first line of a CSV file must name its columns.")
    if len(names) > MAX_COLUMNS:
        raise UnreadableFile(f"The file has more than {MAX_COLUMNS} columns.")
    return [name.strip().removeprefix("\ufeff") for name in names]


class _Lines:
    """Lines of a binary file as text, counting bytes. `csv.reader` takes exactly the lines of one record."""

    def __init__(self, file: IO[bytes], byte: int = 0) -> None:
        self._file = file
        self.byte = byte

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = _line(self._file)
        if not line:
            raise StopIteration
        self.byte += len(line)
        # What is no UTF-8 becomes a lone surrogate, which no later step accepts: that row is bad, not the file.
        return line.decode("utf-8", "surrogateescape").replace("\0", "\udc00")


def _line(file: IO[bytes]) -> bytes:
    line = file.readline(MAX_LINE_BYTES + 1)
    if len(line) > MAX_LINE_BYTES:
        raise UnreadableFile(f"A line is longer than {MAX_LINE_BYTES} bytes.")
    return line


def _json_lines(file: IO[bytes], place: Place) -> Iterator[RawRow]:
    file.seek(place.byte)
    start, row, number = place.byte, place.row, place.line
    while (place.end is None or start < place.end) and (line := _line(file)):
        end = start + len(line)
        text = line.strip() if number > 1 else line.removeprefix(b"\xef\xbb\xbf").strip()
        if text:
            yield RawRow(row=row, line=number, start=start, end=end, data=text)
            row += 1
        start, number = end, number + 1


def _csv_rows(file: IO[bytes], place: Place | None) -> Iterator[RawRow]:
    lines = _Lines(file)
    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.reader(lines)
    row, number, skipped = 1, 1, 0
    if place is None:
        next(reader, None)
        number += reader.line_num
        skipped = reader.line_num
    else:
        file.seek(place.byte)
        lines.byte, row, number = place.byte, place.row, place.line
    first = number
    start = lines.byte
    try:
        while place is None or place.end is None or start < place.end:
            values = next(reader, None)
            if values is None:
                return
            end = lines.byte
            if any(value.strip() for value in values):
                yield RawRow(row=row, line=number, start=start, end=end, data=values)
                row += 1
            start, number = end, first + reader.line_num - skipped
    except csv.Error as error:
        raise UnreadableFile(f"Line {number} is no CSV: {error}.") from error
