"""Files of datasets that no row answers for: an upload that was killed, or a removal that failed after its commit."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import transaction

from governance.data.datasets import kept_files, remove_file
from governance.data.models import Dataset
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant

log = logging.getLogger(__name__)

# An upload that is still running has no row yet.
UPLOADING = timedelta(days=1)


def sweep_orphans() -> int:
    """Remove sealed files older than a day that belong to no dataset, or to one that is erased; returns how many."""
    removed = 0
    with platform_scope(), transaction.atomic():
        tenants = list(Tenant.objects.values_list("pk", flat=True))
    for tenant_id in tenants:
        found = [dataset_id for dataset_id in kept_files(tenant_id) if _is_old(dataset_id)]
        if not found:
            continue
        with platform_scope(), transaction.atomic():
            wanted = set(
                Dataset.objects.filter(
                    tenant_id=tenant_id, pk__in=found, asset__erased_at__isnull=True
                ).values_list("pk", flat=True)
            )
        for dataset_id in set(found) - wanted:
            try:
                remove_file(tenant_id, dataset_id)
            except OSError:
                log.exception(
                    "the file of dataset %s, which is not there any more, cannot be removed", dataset_id
                )
                continue
            removed += 1
    return removed


def _is_old(dataset_id: UUID) -> bool:
    """By the time in the id (RFC 9562, version 7), which the storage cannot change."""
    made = datetime.fromtimestamp((dataset_id.int >> 80) / 1000, UTC)
    return datetime.now(UTC) - made > UPLOADING
