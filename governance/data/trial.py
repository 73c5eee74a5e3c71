"""Trying a placement: what the policies say about every pool, without anything being queued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from governance.access.decisions import require
from governance.data.lineage import asset_for
from governance.data.placement import PlacementRefused, Step, Work, judge, place
from governance.data.pools import pools_for
from governance.principals import Principal


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where work would go; `pool` is empty where it would be refused. `trail` covers every pool, public ones too."""

    pool: str
    queue: str
    trail: tuple[Step, ...]


def try_placement(
    *,
    principal: Principal,
    asset_ids: Sequence[UUID],
    workload: str = "batch",
    region: str = "",
    purpose: str = "",
) -> Verdict:
    """Place work on these assets of one tenant. Raises NotFound for an asset that the principal cannot see."""
    require(principal, "data.placement.view")
    assets = [asset_for(principal, asset_id) for asset_id in asset_ids]
    tenant_id = assets[0].tenant_id if assets else principal.tenant_id
    work = Work(
        tenant_id=tenant_id,
        task="data.try",
        workload=workload,
        assets=tuple(asset.target for asset in assets if asset.tenant_id == tenant_id),
        region=region,
        purpose=purpose,
    )
    trail = tuple(judge(work, pool)[0] for pool in pools_for(tenant_id))
    try:
        made = place(work)
    except PlacementRefused:
        return Verdict("", "", trail)
    return Verdict(made.pool.name, made.queue, trail)
