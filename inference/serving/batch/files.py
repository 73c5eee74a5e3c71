"""Where the files of batch jobs lie, and how they get there whole."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.conf import settings

from inference.serving.models import BatchJob

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Written:
    """A file that is complete on disk."""

    sha256: str
    size_bytes: int


def job_folder(tenant_id: UUID, job_id: UUID) -> Path:
    """The job's own folder, made of ids alone."""
    return Path(settings.OPENCLAW_VAR) / "media" / "batch" / str(tenant_id) / str(job_id)


def input_path(job: BatchJob) -> Path:
    """The uploaded file."""
    return job_folder(job.tenant_id, job.id) / f"input.{job.format}"


def result_path(job: BatchJob) -> Path:
    """The joined result."""
    return job_folder(job.tenant_id, job.id) / "result.jsonl"


def shard_path(job: BatchJob, index: int, lease_token: UUID) -> Path:
    """The result of one attempt at a shard; which attempt counts is said by the shard's row."""
    return job_folder(job.tenant_id, job.id) / "shards" / f"{index:06}-{lease_token}.jsonl"


def write_whole(path: Path, chunks: Iterable[bytes]) -> Written:
    """Write under another name, then rename: a file with this name is never a part of one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.part")
    digest, size = hashlib.sha256(), 0
    try:
        with partial.open("wb") as writer:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                writer.write(chunk)
            writer.flush()
            os.fsync(writer.fileno())
        partial.chmod(0o600)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return Written(sha256=digest.hexdigest(), size_bytes=size)


def remove_shards(job: BatchJob) -> None:
    """Remove the parts of a result once it is joined."""
    shutil.rmtree(job_folder(job.tenant_id, job.id) / "shards", ignore_errors=True)
