"""Where the files of batch jobs lie: sealed with the tenant's key, each written whole or not at all."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext as _

from governance.errors import NotFound, Unavailable
from governance.keys import rewriting
from governance.keys.earlier import EarlierFiles, checked, plain
from governance.keys.storage import SealedPath, SealedStorage, StorageCollection
from inference.serving.models import BatchJob

PURPOSE = "batch"
STORAGE = SealedStorage(purpose=PURPOSE, folder="batch")
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class JobFile:
    """A file of a job. What an earlier release left unsealed opens if its digest is the one in the job's row."""

    sealed: SealedPath
    earlier: Path
    sha256: str

    def open(self) -> BinaryIO:
        """A seekable reader. Raises FileNotFoundError, Conflict, KeyDestroyed or Unavailable."""
        try:
            return self.sealed.open()
        except FileNotFoundError:
            return checked(self.earlier, self.sha256)

    def read_bytes(self) -> bytes:
        """The whole content."""
        with self.open() as reader:
            return reader.read()

    def exists(self) -> bool:
        return self.sealed.exists() or self.earlier.exists()

    def delete(self) -> None:
        """One that is not there is no error."""
        self.sealed.delete()
        self.earlier.unlink(missing_ok=True)


def new_input(tenant_id: UUID, job_id: UUID, format: str) -> SealedPath:
    """The uploaded file of a job that has no row yet."""
    return STORAGE.file(tenant_id, f"{job_id}/input.{format}")


def input_path(job: BatchJob) -> JobFile:
    """The uploaded file."""
    return _file(job, f"input.{job.format}", job.input_sha256)


def result_path(job: BatchJob) -> JobFile:
    """The joined result of the attempt that counted."""
    name = f"result-{job.result_id}.{job.result_format}" if job.result_id else "result.jsonl"
    return _file(job, name, job.result_sha256)


def joined_path(job: BatchJob, attempt: UUID) -> SealedPath:
    """The result of one attempt to join; which attempt counts is said by the job's row."""
    return STORAGE.file(job.tenant_id, f"{job.id}/result-{attempt}.{job.result_format}")


def shard_path(job: BatchJob, index: int, lease_token: UUID, sha256: str = "") -> JobFile:
    """The result of one attempt at a shard; which attempt counts is said by the shard's row."""
    kind = "jsonl" if job.result_format == BatchJob.ResultFormat.JSONL else "arrow"
    return _file(job, f"shards/{index:06}-{lease_token}.{kind}", sha256)


def segments_path(job: BatchJob) -> SealedPath:
    """The rows of an upload in Parquet, cut into segments that are read alone; planning again writes the same."""
    return STORAGE.file(job.tenant_id, f"{job.id}/shards/segments")


def remove_shards(job: BatchJob) -> None:
    """Remove the parts of a result, and of a Parquet upload. Raises Unavailable."""
    STORAGE.delete_below(job.tenant_id, f"{job.id}/shards")
    shutil.rmtree(_earlier_folder(job.tenant_id) / str(job.id) / "shards", ignore_errors=True)


def tidy(job: BatchJob) -> None:
    """Remove the parts of a result that nobody needs any more; what cannot be removed now goes with the job."""
    with suppress(Unavailable):
        remove_shards(job)


def remove_job(tenant_id: UUID, job_id: UUID) -> None:
    """Remove everything of a job. Raises Unavailable."""
    STORAGE.delete_below(tenant_id, str(job_id))
    shutil.rmtree(_earlier_folder(tenant_id) / str(job_id), ignore_errors=True)


def register_files() -> None:
    """Include the files in every re-encryption, which also seals what an earlier release left."""
    rewriting.register(StorageCollection("serving.batch-files", STORAGE))
    rewriting.register(
        EarlierFiles("serving.earlier-batch-files", STORAGE, _earlier_folder, lambda name: name, _earlier)
    )


def _file(job: BatchJob, name: str, sha256: str) -> JobFile:
    earlier = _earlier_folder(job.tenant_id) / str(job.id) / name
    return JobFile(STORAGE.file(job.tenant_id, f"{job.id}/{name}"), earlier, sha256)


def _earlier_folder(tenant_id: UUID) -> Path:
    return Path(settings.OPENCLAW_VAR) / "media" / "batch" / str(tenant_id)


def _earlier(path: Path, tenant_id: UUID, relative: str) -> BinaryIO:
    """The content of an earlier file, if it is what the job's row says; a shard's is checked when shards are joined."""
    job_id, _slash, name = relative.partition("/")
    job = BatchJob.objects.filter(pk=job_id, tenant_id=tenant_id).first()
    if job is None:
        raise NotFound(_("There is no such batch job."))
    if name.startswith("shards/"):
        return plain(path, tenant_id, relative)
    return checked(path, job.result_sha256 if name.startswith("result") else job.input_sha256)
