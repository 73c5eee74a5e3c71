"""Where sealed files lie: a bucket of any service that speaks S3. Loaded only where the settings name one."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from typing import IO, Any, cast

from botocore.exceptions import BotoCoreError, ClientError
from django.core.files import File
from django.utils.translation import gettext as _
from storages.backends.s3 import S3Storage

from governance.errors import Unavailable
from governance.keys.places import NAMES_AT_ONCE, Replaced

READ_AHEAD_BYTES = 2 * 1024 * 1024
# Ten thousand parts, which is what a service takes, make 80 GB.
PART_BYTES = 8 * 1024 * 1024
NOT_THERE = {"404", "NoSuchKey", "NotFound"}
# The condition of a write does not hold, or somebody else writes in the same moment.
CHANGED = {"412", "PreconditionFailed", "ConditionalRequestConflict"}


class BucketPlace(S3Storage):
    """A bucket, with the methods of `governance.keys.places.Place`.

    Writing is conditional where it must be (`If-None-Match`, `If-Match`), so the service has to know conditional
    writes, for single objects and for the end of a multipart upload.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"file_overwrite": True, "default_acl": None} | options)

    def save_new(self, name: str, content: File[bytes]) -> str:
        """Store under a name that is free. Of two that do so in the same moment, one gets FileExistsError."""
        with _answered():
            try:
                self._upload(name, content.chunks(), {"IfNoneMatch": "*"})
            except ClientError as error:
                if _code(error) in CHANGED:
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name) from error
                raise
        return name

    def open_raw(self, name: str) -> IO[bytes]:
        """A reader that fetches ranges, all of the same version of the file."""
        with _answered():
            head = self.bucket.meta.client.head_object(Bucket=self.bucket_name, Key=name)
        version = head["ETag"]
        raw = RangeReader(lambda a, b: self._range(name, version, a, b), head["ContentLength"], version)
        return io.BufferedReader(raw, READ_AHEAD_BYTES)

    def put(self, name: str, pieces: Iterable[bytes]) -> None:
        """Upload under the name; the service changes over at the end."""
        with _answered():
            self._upload(name, pieces, {})

    def replace(self, name: str, pieces: Iterable[bytes], *, was: IO[bytes]) -> None:
        """Like `put`, on the condition that the version that `was` reads is still there."""
        reader = cast(RangeReader, cast(io.BufferedReader, was).raw)
        with _answered():
            self._upload(name, pieces, {"IfMatch": reader.version})

    def names(self, prefix: str, *, after: str, limit: int) -> Sequence[str]:
        """The next names in the order of their bytes."""
        with _answered():
            page = self.connection.meta.client.list_objects_v2(
                Bucket=self.bucket_name, Prefix=f"{prefix}/", StartAfter=after, MaxKeys=limit
            )
        return [found["Key"] for found in page.get("Contents", [])]

    def drop_drafts(self, prefix: str, *, before: datetime) -> None:
        """Uploads in parts that nobody ended: their parts are no files, but take room. By the time of the last part.

        The account needs `s3:ListBucketMultipartUploads`, `s3:ListMultipartUploadParts` and `s3:AbortMultipartUpload`.
        """
        client, where = self.bucket.meta.client, {"Bucket": self.bucket_name}
        with _answered():
            pages = client.get_paginator("list_multipart_uploads").paginate(**where, Prefix=f"{prefix}/")
            old = [
                {"Key": upload["Key"], "UploadId": upload["UploadId"]}
                for page in pages
                for upload in page.get("Uploads", [])
                if upload["Initiated"] < before
            ]
        for upload in old:
            with _answered():
                self._abort(upload, before)

    def _abort(self, upload: dict[str, str], before: datetime) -> None:
        client, where = self.bucket.meta.client, {"Bucket": self.bucket_name, **upload}
        try:
            pages = client.get_paginator("list_parts").paginate(**where)
            times = [part["LastModified"] for page in pages for part in page.get("Parts", [])]
            if all(time < before for time in times):
                client.abort_multipart_upload(**where)
        except ClientError as error:
            if _code(error) != "NoSuchUpload":  # which was ended meanwhile
                raise

    def get_modified_time(self, name: str) -> datetime:
        """What the service says."""
        with _answered():
            return cast(datetime, super().get_modified_time(name))

    def exists(self, name: str) -> bool:
        with _answered():
            return bool(super().exists(name))

    def delete(self, name: str) -> None:
        with _answered():
            super().delete(name)

    def delete_below(self, prefix: str) -> None:
        """A thousand at a time."""
        while names := self.names(prefix, after="", limit=NAMES_AT_ONCE):
            keys = [{"Key": name} for name in names]
            with _answered():
                answer = self.bucket.delete_objects(Delete={"Objects": keys, "Quiet": True})
            if answer.get("Errors"):
                raise _unavailable()

    def _upload(self, name: str, pieces: Iterable[bytes], condition: dict[str, str]) -> None:
        """In one request what is small, in parts what is not: memory stays at a part, in the caller's own thread."""
        client, where = self.bucket.meta.client, {"Bucket": self.bucket_name, "Key": name}
        parts = _parts(pieces)
        first, second = next(parts, b""), next(parts, None)
        if second is None:
            client.put_object(Body=first, **where, **condition)
            return
        where["UploadId"] = client.create_multipart_upload(**where)["UploadId"]
        try:
            done = []
            for number, part in enumerate(chain((first, second), parts), start=1):
                answer = client.upload_part(PartNumber=number, Body=part, **where)
                done.append({"PartNumber": number, "ETag": answer["ETag"]})
            client.complete_multipart_upload(MultipartUpload={"Parts": done}, **where, **condition)
        except BaseException:
            client.abort_multipart_upload(**where)
            raise

    def _range(self, name: str, version: str, start: int, end: int) -> bytes:
        with _answered():
            answer = self.bucket.Object(name).get(Range=f"bytes={start}-{end - 1}", IfMatch=version)
            return bytes(answer["Body"].read())


def refused(error: Unavailable) -> bool:
    """Whether the service answered, and said no: asking again will not help."""
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return False
    return cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (400, 401, 403)


def _parts(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in parts of PART_BYTES; the last may be shorter."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= PART_BYTES:
            yield bytes(waiting[:PART_BYTES])
            del waiting[:PART_BYTES]
    if waiting:
        yield bytes(waiting)


class RangeReader(io.RawIOBase):
    """A seekable reader over `fetch(start, end)`; `version` says which content it is of."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int, version: str = "") -> None:
        self._fetch = fetch
        self.version = version
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
        if _code(error) in NOT_THERE:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
        if _code(error) in CHANGED:
            raise Replaced from error
        raise _unavailable() from error
    except BotoCoreError as error:
        raise _unavailable() from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code"))


def _unavailable() -> Unavailable:
    return Unavailable(
        _("The file storage does not answer."), hint=_("Try again soon, or tell an administrator.")
    )
