"""Where sealed files lie: a bucket of any service that speaks S3. Loaded only where the settings name one."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files import File
from django.utils.translation import gettext as _
from storages.backends.s3 import S3Storage

from governance.errors import Unavailable
from governance.keys.sealing import SealedFile

READ_AHEAD_BYTES = 2 * 1024 * 1024
# One part after the other in the caller's own thread: memory stays at a few parts, and the row scope stays in force.
TRANSFER = TransferConfig(multipart_chunksize=8 * 1024 * 1024, use_threads=False)
NOT_THERE = {"404", "NoSuchKey", "NotFound"}


class BucketPlace(S3Storage):
    """A bucket, with the methods of `governance.keys.places.Place`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **{"transfer_config": TRANSFER, "file_overwrite": True, "default_acl": None} | options
        )

    def save_new(self, name: str, content: File[bytes]) -> str:
        """Store under a name that is free. Of two that do so in the same moment, the later one stays."""
        with _answered():
            if self.exists(name):
                raise FileExistsError(name)
            return str(self._save(name, content))

    def open_raw(self, name: str) -> IO[bytes]:
        """A reader that fetches ranges."""
        with _answered():
            size = self.size(name)
        return io.BufferedReader(RangeReader(lambda a, b: self._range(name, a, b), size), READ_AHEAD_BYTES)

    def replace(self, name: str, pieces: Iterable[bytes]) -> None:
        """Upload under the same name; the service changes over at the end."""
        with _answered():
            self._save(name, SealedFile(pieces, name))

    def names(self, prefix: str, *, after: str, limit: int) -> Sequence[str]:
        """The next names in the order of their bytes."""
        with _answered():
            page = self.connection.meta.client.list_objects_v2(
                Bucket=self.bucket_name, Prefix=f"{prefix}/", StartAfter=after, MaxKeys=limit
            )
        return [found["Key"] for found in page.get("Contents", [])]

    def exists(self, name: str) -> bool:
        with _answered():
            return bool(super().exists(name))

    def delete(self, name: str) -> None:
        with _answered():
            super().delete(name)

    def _range(self, name: str, start: int, end: int) -> bytes:
        with _answered():
            answer = self.bucket.Object(name).get(Range=f"bytes={start}-{end - 1}")
            return bytes(answer["Body"].read())


class RangeReader(io.RawIOBase):
    """A seekable reader over `fetch(start, end)`."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        self._fetch = fetch
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        end = min(self._position + len(buffer), self._size)
        if end <= self._position:
            return 0
        data = self._fetch(self._position, end)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


@contextmanager
def _answered() -> Iterator[None]:
    """Errors of the service as ours; their text, which may name keys and hosts, goes nowhere."""
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in NOT_THERE:
            raise FileNotFoundError from error
        raise _unavailable() from error
    except BotoCoreError as error:
        raise _unavailable() from error


def _unavailable() -> Unavailable:
    return Unavailable(
        _("The file storage does not answer."), hint=_("Try again soon, or tell an administrator.")
    )
