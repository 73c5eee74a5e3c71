"""A file whose content is made piece by piece while it is read: what a storage is given to save."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.core.files import File


class SealedFile(File):
    """Reads from `pieces`, once, from beginning to end. The first piece is made at once, in the caller's scope."""

    def __init__(self, pieces: Iterable[bytes], name: str) -> None:
        super().__init__(None, name)
        self._pieces = iter(pieces)
        self._left = next(self._pieces, b"")
        self.mode = "rb"

    @property
    def closed(self) -> bool:
        return False

    def close(self) -> None:
        """There is nothing to close."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The pieces as they come; their size is that of the stream's chunks."""
        yield self._left
        self._left = b""
        yield from self._pieces

    def read(self, num_bytes: int | None = -1) -> bytes:
        """The next `num_bytes`, or all that is left."""
        wanted = -1 if num_bytes is None else num_bytes
        parts, missing = [], wanted
        while wanted < 0 or missing > 0:
            if not self._left:
                self._left = next(self._pieces, b"")
                if not self._left:
                    break
            part = self._left if wanted < 0 else self._left[:missing]
            self._left = self._left[len(part) :]
            missing -= len(part)
            parts.append(part)
        return b"".join(parts)
