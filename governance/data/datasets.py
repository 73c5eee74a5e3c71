"""Registering datasets: a file that is sealed before it reaches the disk, or a reference to where data lies."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from governance.access.decisions import require, require_obligations
from governance.access.rest import ensure_size
from governance.audit.services import record
from governance.data.models import Asset, ComputePool, Dataset
from governance.data.services import register_asset
from governance.errors import Conflict, InvalidInput, NotFound
from governance.ids import uuid7
from governance.keys.envelopes import open_sealed, seal_stream
from governance.principals import Principal
from governance.refs import ObjectRef

TYPE = "data.dataset"
PURPOSE = "dataset"
MAX_BYTES = 2 << 30
LOCATION = re.compile(r"[a-z][a-z0-9+.-]*://\S+")


def dataset_path(tenant_id: UUID, dataset_id: UUID) -> Path:
    """Where the sealed file lies; made of ids alone."""
    return Path(settings.OPENCLAW_VAR) / "media" / "datasets" / str(tenant_id) / f"{dataset_id}.sealed"


def upload_dataset(
    *, principal: Principal, name: str, filename: str, chunks: Iterable[bytes], **described: Any
) -> Dataset:
    """Keep a file, sealed with the tenant's key, and enter it into the catalogue.

    Bytes are sealed before they reach the disk. `described` is as in `reference_dataset`, without the location.
    Raises InvalidInput for an empty file, Conflict for a name that is taken.
    """
    tenant_id = _tenant(principal)
    require(principal, "data.asset.register", tenant_id=tenant_id)
    dataset_id = uuid7()
    path = dataset_path(tenant_id, dataset_id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    reader = _Counted(chunks)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writer:
            seal_stream(
                io.BufferedReader(reader),
                writer,
                tenant_id=tenant_id,
                purpose=PURPOSE,
                object_id=str(dataset_id),
            )
            writer.flush()
            os.fsync(writer.fileno())
        if not reader.size_bytes:
            raise InvalidInput(_("The file is empty."))
        return _enter(
            principal,
            Dataset(
                id=dataset_id,
                tenant_id=tenant_id,
                name=name,
                kind=Dataset.Kind.UPLOAD,
                filename=PurePosixPath(filename.replace("\\", "/")).name[:200],
                digest=reader.sha256,
                size_bytes=reader.size_bytes,
            ),
            **described,
        )
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def reference_dataset(
    *, principal: Principal, name: str, location: str, digest: str = "", **described: Any
) -> Dataset:
    """Enter data that stays where it is.

    `described` may state: description, label, subjects, purpose, region, licence, retention_days, rows, schema,
    held_at (a pool's name), owner_id.
    """
    tenant_id = _tenant(principal)
    require(principal, "data.asset.register", tenant_id=tenant_id)
    if not LOCATION.fullmatch(location) or "@" in location:
        raise InvalidInput(
            _("“%(location)s” is no address of data.") % {"location": location[:100]},
            hint=_("Give an address such as s3://bucket/path, without a password in it."),
        )
    if digest and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise InvalidInput(_("A digest is the SHA-256 of the content: 64 hexadecimal digits."))
    made = Dataset(
        id=uuid7(),
        tenant_id=tenant_id,
        name=name,
        kind=Dataset.Kind.REFERENCE,
        location=location,
        digest=digest,
    )
    return _enter(principal, made, **described)


def open_dataset(*, principal: Principal, dataset_id: UUID, purpose: str = "") -> BinaryIO:
    """Read an uploaded dataset's content; its label decides what that takes, and the audit log keeps that it was read.

    The caller reads it within the transaction's row scope and closes it.
    """
    dataset = Dataset.objects.select_related("asset").filter(pk=dataset_id).first()
    if dataset is None:
        raise NotFound(_("There is no such dataset."))
    target = ObjectRef.of(dataset, digest=dataset.digest)
    decision = require(
        principal,
        "data.dataset.read",
        target,
        tenant_id=dataset.tenant_id,
        context={"purpose": purpose} if purpose else None,
    )
    require_obligations(decision, fulfilled=frozenset({f"purpose:{purpose}"} if purpose else ()))
    path = dataset_path(dataset.tenant_id, dataset.id)
    if dataset.kind != Dataset.Kind.UPLOAD or not path.exists():
        raise NotFound(_("The content of “%(name)s” is not kept here.") % {"name": dataset.name})
    record(
        principal=principal,
        action="data.dataset.read",
        target=target,
        tenant_id=dataset.tenant_id,
        details={"label": dataset.asset.label, "purpose": purpose},
    )
    return open_sealed(path, tenant_id=dataset.tenant_id, purpose=PURPOSE, object_id=str(dataset.id))


def _tenant(principal: Principal) -> UUID:
    if principal.tenant_id is None:
        raise InvalidInput(_("A dataset belongs to a tenant; choose one."))
    return principal.tenant_id


@transaction.atomic
def _enter(
    principal: Principal,
    dataset: Dataset,
    *,
    description: str = "",
    held_at: str = "",
    rows: int | None = None,
    schema: dict[str, Any] | None = None,
    owner_id: UUID | None = None,
    **asset: Any,
) -> Dataset:
    if not dataset.name.strip() or len(dataset.name) > 100:
        raise InvalidInput(_("Give the dataset a name of at most 100 characters."))
    if Dataset.objects.filter(tenant_id=dataset.tenant_id, name=dataset.name).exists():
        raise _taken(dataset.name)
    dataset.description, dataset.rows, dataset.schema = description, rows, schema or {}
    if held_at:
        dataset.held_at = ComputePool.objects.filter(name=held_at).first()
        if dataset.held_at is None:
            raise InvalidInput(_("There is no pool “%(name)s”.") % {"name": held_at})
    target = ObjectRef(type=TYPE, id=str(dataset.id), digest=dataset.digest, label=dataset.name)
    dataset.asset = register_asset(
        principal=principal,
        target=target,
        tenant_id=dataset.tenant_id,
        owner=owner_id or principal.accountable_user_id,
        **asset,
    )
    try:
        with transaction.atomic():
            dataset.save(force_insert=True)
    except IntegrityError as error:
        raise _taken(dataset.name) from error
    return dataset


def _taken(name: str) -> Conflict:
    return Conflict(_("There is a dataset “%(name)s” already; choose another name.") % {"name": name})


def erase_file(asset: Asset) -> str:
    """Remove an uploaded dataset's file; returns what was done, empty where nothing is kept here."""
    dataset = Dataset.objects.filter(asset=asset).first()
    if dataset is None or dataset.kind == Dataset.Kind.REFERENCE:
        return ""
    dataset_path(dataset.tenant_id, dataset.id).unlink(missing_ok=True)
    return _("the sealed file was removed")


class _Counted(io.RawIOBase):
    """Chunks as a file, with the digest and the size of what went through. Raises TooLarge past MAX_BYTES."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest: memoryview = memoryview(b"")
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._digest.update(chunk)
            self.size_bytes += len(chunk)
            ensure_size(self.size_bytes, MAX_BYTES)
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def pieces(reader: IO[bytes], size: int = 1 << 20) -> Iterable[bytes]:
    """The content piece by piece; closes the reader at its end."""
    with reader:
        while piece := reader.read(size):
            yield piece
