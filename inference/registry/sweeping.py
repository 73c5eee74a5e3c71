"""Which artifacts the rows of versions answer for; the daily sweep removes what an interrupted registration left."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

from governance.data.selectors import erased_among
from governance.keys import sweeping
from governance.keys.sweeping import SweptFiles
from inference.registry.artifacts import STORAGE
from inference.registry.cataloguing import TYPE
from inference.registry.models import ModelVersion

NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}")


def register_sweep() -> None:
    """Include artifacts in every sweep."""
    sweeping.register(SweptFiles("registry.artifacts", STORAGE, NAME, _answered_for))


def _answered_for(tenant_id: UUID, names: Sequence[str]) -> set[str]:
    """Of the names those whose digest a version has that is not both retired and erased."""
    digests = [name.rpartition("/")[2] for name in names]
    rows = ModelVersion.objects.filter(tenant_id=tenant_id, sha256__in=digests)
    known = list(rows.values_list("pk", "sha256", "state"))
    retired = [str(pk) for pk, _sha256, state in known if state == ModelVersion.State.RETIRED]
    gone = erased_among(tenant_id, TYPE, retired)
    return {f"{sha256[:2]}/{sha256}" for pk, sha256, _state in known if str(pk) not in gone}
