"""The files of uploads: which rows answer for them, and how those of an earlier release are sealed."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.db import transaction

from governance.errors import DomainError
from governance.keys import rewriting, sweeping
from governance.keys.earlier import EarlierFiles, checked, plain
from governance.keys.storage import StorageCollection
from governance.keys.sweeping import SweptFiles
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Tenant
from marketplace.catalog.quarantine import STORAGE, earlier_folder
from marketplace.review.models import Submission

log = logging.getLogger(__name__)

NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.zip")
AT_ONCE = 100


def register_files() -> None:
    """Include uploads in every re-encryption, which also seals what an earlier release left, and in every sweep."""
    rewriting.register(StorageCollection("review.uploads", STORAGE))
    rewriting.register(EARLIER)
    sweeping.register(SweptFiles("review.uploads", STORAGE, NAME, _answered_for))


def seal_earlier() -> int:
    """Seal every upload that an earlier release left unsealed, then remove the unsealed file; returns how many.

    One whose bytes are not those that were uploaded stays where it is, is refused to every reader, and is logged.
    """
    with platform_scope(), transaction.atomic():
        tenants = list(Tenant.objects.values_list("pk", flat=True))
    sealed = 0
    for tenant_id in tenants:
        after = ""
        while names := EARLIER.keys(tenant_id, after=after, limit=AT_ONCE):
            after = names[-1]
            for name in names:
                try:
                    with tenant_context(tenant_id), transaction.atomic():
                        sealed += EARLIER.rewrite(tenant_id, name)
                except (DomainError, OSError):
                    log.exception("the upload %s of an earlier release cannot be sealed", name)
    return sealed


def _earlier(path: Path, tenant_id: UUID, relative: str) -> BinaryIO:
    """What was uploaded, if it still is that. A file without a row is sealed as it is, and swept a day later."""
    named = NAME.fullmatch(relative)
    rows = Submission.objects.filter(tenant_id=tenant_id, pk=named[1]) if named else Submission.objects.none()
    sha256 = rows.values_list("sha256", flat=True).first()
    return checked(path, sha256) if sha256 else plain(path, tenant_id, relative)


EARLIER = EarlierFiles("review.earlier-uploads", STORAGE, earlier_folder, lambda name: name, _earlier)


def _answered_for(tenant_id: UUID, names: Sequence[str]) -> set[str]:
    """Every submission keeps its archive: reviewers compare the next version with it."""
    ids = [named[1] for name in names if (named := NAME.fullmatch(name))]
    rows = Submission.objects.filter(tenant_id=tenant_id, pk__in=ids)
    return {f"{pk}.zip" for pk in rows.values_list("pk", flat=True)}
