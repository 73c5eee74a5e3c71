"""Sealed files that no row answers for: of an upload that was killed, or of a removal that failed after its commit.

    register(SweptFiles("registry.artifacts", STORAGE, re.compile(...), kept))

Every app that keeps files says which of them its rows answer for; the daily retention removes the others.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from governance.audit.services import record
from governance.errors import Unavailable
from governance.keys.places import NAMES_AT_ONCE
from governance.keys.storage import SealedStorage
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Tenant

log = logging.getLogger(__name__)

# An upload that is still running has no row yet.
UPLOADING = timedelta(days=1)


@dataclass(frozen=True)
class SweptFiles:
    """The files of a sealed storage. `ours` are the names, below the tenant's folder, that the app gives; no other is
    touched. `kept` gives those of the names that a row answers for; it is called in the tenant's row scope.
    """

    name: str
    storage: SealedStorage
    ours: re.Pattern[str]
    kept: Callable[[UUID, Sequence[str]], Collection[str]]

    def orphans(self, tenant_id: UUID) -> list[str]:
        """The names of what no row answers for, of any age."""
        root, after, found = self.storage.root(tenant_id), "", []
        while listed := self.storage.place.names(root, after=after, limit=NAMES_AT_ONCE):
            after = listed[-1]
            names = [name.removeprefix(f"{root}/") for name in listed]
            asked = [name for name in names if self.ours.fullmatch(name)]
            with tenant_context(tenant_id), transaction.atomic():
                kept = set(self.kept(tenant_id, asked)) if asked else set()
            found += [name for name in asked if name not in kept]
        return found


_swept: dict[str, SweptFiles] = {}


def register(files: SweptFiles) -> None:
    """Include `files` in every sweep. A second one of the same name is a programming error."""
    if _swept.setdefault(files.name, files) is not files:
        raise ValueError(f"The files {files.name} are registered twice.")


def registered() -> list[SweptFiles]:
    """What is swept, by name."""
    return sorted(_swept.values(), key=lambda files: files.name)


def sweep_orphans() -> int:
    """Remove sealed files older than a day that no row answers for, and drafts of that age; returns how many files.

    What was removed is in the tenant's audit log. Files that cannot be listed or removed keep no others waiting.
    """
    with platform_scope(), transaction.atomic():
        tenants = list(Tenant.objects.values_list("pk", flat=True))
    removed = 0
    for files in registered():
        for tenant_id in tenants:
            try:
                removed += _sweep(files, tenant_id)
            except (OSError, Unavailable):
                log.exception("the files %s of tenant %s cannot be swept", files.name, tenant_id)
    return removed


def _sweep(files: SweptFiles, tenant_id: UUID) -> int:
    place, before = files.storage.place, timezone.now() - UPLOADING
    try:
        place.drop_drafts(files.storage.root(tenant_id), before=before)
    except Unavailable:  # a bucket's account may lack the right for that, and files are swept all the same
        log.exception("what was half written of %s of tenant %s cannot be removed", files.name, tenant_id)
    removed = 0
    try:
        for name in files.orphans(tenant_id):
            file = files.storage.file(tenant_id, name)
            # Looked at last: equal content that is stored again meanwhile has a young file.
            with suppress(FileNotFoundError):
                if place.get_modified_time(file.name) < before:
                    file.delete()
                    removed += 1
    finally:
        if removed:
            with tenant_context(tenant_id), transaction.atomic():
                record(
                    principal=SYSTEM,
                    action="keys.files.sweep",
                    target=ObjectRef(type="keys.files", id=files.name, label=files.name),
                    tenant_id=tenant_id,
                    details={"removed": removed},
                )
    return removed
