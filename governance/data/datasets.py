"""Registering datasets: a file that is sealed before it reaches the disk, or a reference to where data lies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from governance.access.decisions import require, require_obligations
from governance.access.rest import ensure_size
from governance.audit.services import record
from governance.data.erasers import when_committed
from governance.data.house_reads import keep_house_read
from governance.data.models import Asset, Dataset
from governance.data.outside import open_object, require_lent
from governance.data.pools import pool_at
from governance.data.residence import ensure_may_lie_here
from governance.data.services import register_asset
from governance.errors import Conflict, InvalidInput, NotFound
from governance.ids import uuid7
from governance.keys import rewriting, sweeping
from governance.keys.earlier import EarlierFiles
from governance.keys.envelopes import open_sealed
from governance.keys.storage import SealedPath, SealedStorage, StorageCollection
from governance.keys.sweeping import SweptFiles
from governance.principals import Principal
from governance.refs import ObjectRef

TYPE = "data.dataset"
PURPOSE = "dataset"
STORAGE = SealedStorage(purpose=PURPOSE, folder="datasets")
EARLIER = ".sealed"  # what the names of an earlier release's files end in
MAX_BYTES = 2 << 30
UUID_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LOCATION = re.compile(r"[a-z][a-z0-9+.-]*://\S+")


def dataset_file(tenant_id: UUID, dataset_id: UUID) -> SealedPath:
    """The sealed file; its name is made of ids alone."""
    return STORAGE.file(tenant_id, str(dataset_id))


def earlier_folder(tenant_id: UUID) -> Path:
    """Where an earlier release kept a tenant's sealed files."""
    return Path(settings.OPENCLAW_VAR) / "media" / "datasets" / str(tenant_id)


def opened_earlier(path: Path, tenant_id: UUID, relative: str) -> BinaryIO:
    """The content of a file that an earlier release sealed."""
    object_id = relative.removesuffix(EARLIER)
    return open_sealed(path, tenant_id=tenant_id, purpose=PURPOSE, object_id=object_id)


def register_files() -> None:
    """Include the files in every re-encryption and every sweep."""
    rewriting.register(StorageCollection("data.datasets", STORAGE))
    sweeping.register(SweptFiles("data.datasets", STORAGE, UUID_NAME, _answered_for))
    rewriting.register(
        EarlierFiles(
            "data.earlier-datasets",
            STORAGE,
            earlier_folder,
            lambda relative: relative.removesuffix(EARLIER),
            opened_earlier,
        )
    )


def upload_dataset(
    *, principal: Principal, name: str, filename: str, chunks: Iterable[bytes], **described: Any
) -> Dataset:
    """Keep a file, sealed with the tenant's key, and enter it into the catalogue.

    Bytes are sealed before they reach the disk. `described` is as in `reference_dataset`, without the location.
    Raises StaysElsewhere, before a byte is kept, for what may not lie in the house; InvalidInput for an empty file,
    Conflict for a name that is taken.
    """
    tenant_id = _tenant(principal)
    require(principal, "data.asset.register", tenant_id=tenant_id)
    ensure_may_lie_here(tenant_id, described)
    dataset_id = uuid7()
    file = dataset_file(tenant_id, dataset_id)
    try:
        written = file.write(_limited(chunks))
        if not written.size_bytes:
            raise InvalidInput(_("The file is empty."))
        return _enter(
            principal,
            Dataset(
                id=dataset_id,
                tenant_id=tenant_id,
                name=name,
                kind=Dataset.Kind.UPLOAD,
                filename=PurePosixPath(filename.replace("\\", "/")).name[:200],
                digest=written.sha256,
                size_bytes=written.size_bytes,
            ),
            **described,
        )
    except BaseException:
        file.delete()
        raise


def reference_dataset(
    *, principal: Principal, name: str, location: str, digest: str = "", **described: Any
) -> Dataset:
    """Enter data that stays where it is.

    `described` may state: description, label, subjects, purpose, region, licence, retention_days, rows, schema,
    held_at (a pool's address), owner_id.
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
    dataset = _readable(Dataset.objects.all(), principal, dataset_id, purpose)
    content = _content(dataset)
    if content is None:
        raise _not_kept(dataset)
    _record_reading(principal, dataset, purpose)
    return content


def lend_dataset(*, principal: Principal, dataset_id: UUID, purpose: str = "") -> Dataset:
    """Let work of the house read a dataset in the principal's name, by `content_of` later and perhaps elsewhere.

    What it takes and what is kept about it is as with `open_dataset`. Of the principal's own tenant alone, also for the
    platform. An object in a bucket needs a digest, so that the work reads what was registered. Raises NotFound for what
    is erased, InvalidInput for what lies where this site may not read.
    """
    own = Dataset.objects.filter(tenant_id=_tenant(principal))
    dataset = _readable(own, principal, dataset_id, purpose)
    if dataset.asset.erased_at:
        raise _not_kept(dataset)
    if dataset.kind == Dataset.Kind.REFERENCE:
        require_lent(dataset.location, dataset.tenant.slug)
        if not dataset.digest:
            raise InvalidInput(
                _("“%(name)s” was registered without a digest.") % {"name": dataset.name},
                hint=_("Register it again with the SHA-256 of its content."),
            )
    _record_reading(principal, dataset, purpose)
    return dataset


def content_of(dataset: Dataset) -> BinaryIO:
    """What a lent dataset holds, opened for the house's own work; the caller compares its digest.

    That the house reads it is kept in the audit log where its label asks for that.

    Raises FileNotFoundError or Unreadable for what is gone, InvalidInput where its bucket is no longer lent,
    Unavailable, and the errors of sealed files.
    """
    if dataset.kind == Dataset.Kind.REFERENCE:
        content: BinaryIO | None = open_object(dataset.location, dataset.tenant.slug)
    else:
        content = _content(dataset)
    if content is None:
        raise FileNotFoundError(_("The content of “%(name)s” is not kept here.") % {"name": dataset.name})
    try:
        target = ObjectRef.of(dataset, digest=dataset.digest)
        keep_house_read(target, tenant_id=dataset.tenant_id, use="copy a lent dataset")
    except BaseException:
        content.close()
        raise
    return content


def _readable(rows: QuerySet[Dataset], principal: Principal, dataset_id: UUID, purpose: str) -> Dataset:
    dataset = rows.select_related("asset", "tenant").filter(pk=dataset_id).first()
    if dataset is None:
        raise NotFound(_("There is no such dataset."))
    decision = require(
        principal,
        "data.dataset.read",
        ObjectRef.of(dataset, digest=dataset.digest),
        tenant_id=dataset.tenant_id,
        context={"purpose": purpose} if purpose else None,
    )
    require_obligations(decision, fulfilled=frozenset({f"purpose:{purpose}"} if purpose else ()))
    return dataset


def _record_reading(principal: Principal, dataset: Dataset, purpose: str) -> None:
    record(
        principal=principal,
        action="data.dataset.read",
        target=ObjectRef.of(dataset, digest=dataset.digest),
        tenant_id=dataset.tenant_id,
        details={"label": dataset.asset.label, "purpose": purpose},
    )


def _not_kept(dataset: Dataset) -> NotFound:
    return NotFound(_("The content of “%(name)s” is not kept here.") % {"name": dataset.name})


def _content(dataset: Dataset) -> BinaryIO | None:
    """A reader of an upload's content, wherever it lies; None where nothing is kept here."""
    if dataset.kind != Dataset.Kind.UPLOAD:
        return None
    name = f"{dataset.id}{EARLIER}"
    for opened in (
        dataset_file(dataset.tenant_id, dataset.id).open,
        lambda: opened_earlier(earlier_folder(dataset.tenant_id) / name, dataset.tenant_id, name),
    ):
        with suppress(FileNotFoundError):
            return opened()
    return None


def _limited(chunks: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        ensure_size(size, MAX_BYTES)
        yield chunk


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
        dataset.held_at = pool_at(held_at)
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
    when_committed(partial(remove_file, dataset.tenant_id, dataset.id), f"dataset {dataset.id}")
    return _("the sealed file was removed")


def remove_file(tenant_id: UUID, dataset_id: UUID) -> None:
    """Remove a sealed file, an earlier release's too; one that is not there is no error."""
    dataset_file(tenant_id, dataset_id).delete()
    (earlier_folder(tenant_id) / f"{dataset_id}{EARLIER}").unlink(missing_ok=True)


def _answered_for(tenant_id: UUID, names: Sequence[str]) -> set[str]:
    """Of the names of files those whose dataset is there and was not erased."""
    rows = Dataset.objects.filter(tenant_id=tenant_id, pk__in=names, asset__erased_at__isnull=True)
    return {str(pk) for pk in rows.values_list("pk", flat=True)}
