"""A batch job's input from a registered dataset: lent when the job is made, copied once before it is planned.

The copy is sealed as an upload is, and is what the job works on from then on: whatever happens to the dataset's own
place later, a shard that is computed again reads the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import PurePosixPath
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from governance.data.datasets import content_of, lend_dataset
from governance.data.models import Dataset
from governance.data.outside import Unreadable
from governance.errors import InvalidInput, TooLarge
from governance.principals import Principal
from inference.serving.batch import files
from inference.serving.batch.reading import UnreadableFile
from inference.serving.models import BatchJob


def borrow(principal: Principal, dataset_id: UUID, purpose: str) -> tuple[Dataset, str]:
    """The dataset, which the principal may read for this purpose, and what its file is called.

    Raises NotFound, AccessDenied, ObligationUnmet, InvalidInput, and TooLarge where its size is known to be.
    """
    dataset = lend_dataset(principal=principal, dataset_id=dataset_id, purpose=purpose)
    if (dataset.size_bytes or 0) > settings.BATCH_UPLOAD_MAX_BYTES:
        raise TooLarge(
            _("The dataset is larger than %(limit)d bytes.") % {"limit": settings.BATCH_UPLOAD_MAX_BYTES},
            hint=_("Split it and start a job for each part."),
        )
    return dataset, dataset.filename or PurePosixPath(dataset.location).name


def fetch(job: BatchJob, alive: Callable[[], None]) -> None:
    """Copy the dataset of a job, sealed, unless that was done; `alive` is called as the bytes come.

    Raises UnreadableFile for what is gone, refused, too large or not what was registered; Unavailable; OSError.
    """
    if job.dataset_id is None:
        return
    path = files.new_input(job.tenant_id, job.id, job.format)
    if path.exists():
        return  # written whole or not at all, and compared before its end
    with transaction.atomic():
        dataset = Dataset.objects.select_related("tenant").get(pk=job.dataset_id)
    try:
        with content_of(dataset) as reader:
            written = path.write(_compared(reader, job.input_sha256, alive))
    except FileExistsError:
        return  # somebody else was quicker
    except (FileNotFoundError, Unreadable) as error:
        raise UnreadableFile(f"The dataset cannot be read: {error}") from error
    except InvalidInput as error:
        raise UnreadableFile(error.message) from error
    with transaction.atomic():
        BatchJob.objects.filter(pk=job.pk).update(input_bytes=written.size_bytes)
    job.input_bytes = written.size_bytes


def _compared(reader: BinaryIO, digest: str, alive: Callable[[], None]) -> Iterator[bytes]:
    """The bytes. At their end, before the file counts as written, they are what was registered, or it fails."""
    size, seen = 0, sha256()
    for chunk in iter(partial(reader.read, files.CHUNK_BYTES), b""):
        size += len(chunk)
        if size > settings.BATCH_UPLOAD_MAX_BYTES:
            raise UnreadableFile(f"The dataset is larger than {settings.BATCH_UPLOAD_MAX_BYTES} bytes.")
        seen.update(chunk)
        alive()
        yield chunk
    if seen.hexdigest() != digest:
        raise UnreadableFile("The dataset is not what was registered: its digest is another.")
