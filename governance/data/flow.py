"""Limits flow along lineage: what came of a source is never less restricted than the source was when it changed.

A label only rises and subjects only add up; a region and a purpose are inherited by what had none. Where a thing would
have to stay in two regions, or serve two purposes, nothing is changed and the act that asked for it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.audit.services import record
from governance.data import selectors
from governance.data.labels import Limits
from governance.data.models import Asset, LineageEdge
from governance.errors import Conflict, NotFound
from governance.principals import Principal
from governance.refs import ObjectRef

Relation = LineageEdge.Relation
# An approval and an evaluation say something about a version; neither puts data into it.
CARRYING = (Relation.DERIVED_FROM, Relation.TRAINED_ON, Relation.DEPLOYED_TO, Relation.PREDICTED_BY)
MAX_RAISED = 50_000
RULES = {"region": "openclaw.data-stays-in-its-region", "purpose": "openclaw.purpose-limitation"}


def hold_labels(tenant_id: UUID) -> None:
    """One change of labels or lineage per tenant at a time, so that a new link cannot slip past a relabelling."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"data.labels:{tenant_id}"])


class LimitsClash(Conflict):
    """Something would have to be in two regions or serve two purposes. Says the rule that cannot be kept."""

    def __init__(self, asset: Asset, limits: Limits, what: str) -> None:
        self.rule = RULES[what]
        said = {"name": asset.name, "own": getattr(asset.limits, what), "other": getattr(limits, what)}
        message = (
            _("“%(name)s” must stay in %(own)s, and what goes into it in %(other)s; nothing is in both.")
            if what == "region"
            else _("“%(name)s” is for %(own)s alone, and what goes into it for %(other)s; no use is left.")
        )
        super().__init__(
            f"{message % said} ({_('rule %(rule)s') % {'rule': self.rule}})",
            code=f"{what}-clash",
            hint=_("Keep the two apart, or ask that one of them be loosened: a second person decides it."),
            errors=[{"rule": self.rule, **said}],
        )


def raise_asset(asset: Asset, limits: Limits, *, principal: Principal, reason: str) -> bool:
    """Make one asset at least this restricted; returns whether that changed anything. Raises LimitsClash."""
    if what := asset.limits.clash(limits):
        raise LimitsClash(asset, limits, what)
    wanted = asset.limits.joined(limits)
    if not asset.limits.weaker_than(wanted):
        return False
    set_limits(asset, wanted, principal=principal, action="data.asset.raise", reason=reason)
    return True


def set_limits(asset: Asset, limits: Limits, *, principal: Principal, action: str, reason: str) -> None:
    """Write what holds the asset back, the audit entry, and the announcement."""
    before = asset.limits
    asset.label, asset.subjects = limits.label, list(limits.subjects)
    asset.region, asset.purpose = limits.region, limits.purpose
    asset.save(update_fields=["label", "subjects", "region", "purpose"])
    record(
        principal=principal,
        action=action,
        target=ObjectRef.of(asset, digest=asset.digest),
        tenant_id=asset.tenant_id,
        reason=reason,
        details={
            "before": before.as_details(),
            "after": limits.as_details(),
            "object": asset.object_id,
        },
    )
    changed(asset)


def changed(asset: Asset) -> None:
    """Tell every process at commit, and believe nothing in this one from now on."""
    announce("asset", asset.object_id)
    selectors.known.forget()


def flow_from(sources: Iterable[Asset], *, principal: Principal, reason: str) -> list[Asset]:
    """Raise everything that came of the sources, step by step; returns what was raised.

    Ends, cycles or not, because limits only grow and have a top. The caller holds `hold_labels`. Raises Conflict past
    MAX_RAISED assets and LimitsClash where two limits cannot hold together; then nothing has changed.
    """
    frontier = {asset.id: asset for asset in sources}
    raised: dict[UUID, Asset] = {}
    while frontier:
        edges = list(
            LineageEdge.objects.filter(source__in=frontier, relation__in=CARRYING)
            .values_list("source_id", "target_id")
            .order_by("target_id")
        )
        targets = (
            Asset.objects.select_for_update(of=("self",))
            .filter(pk__in={target for _source, target in edges})
            .order_by("id")
            .in_bulk()
        )
        following: dict[UUID, Asset] = {}
        for source_id, target_id in edges:
            source, target = frontier[source_id], targets[target_id]
            if raise_asset(
                target,
                source.limits,
                principal=principal,
                reason=_("%(reason)s (it came of “%(source)s”)") % {"reason": reason, "source": source.name},
            ):
                following[target.id] = raised[target.id] = target
        if len(raised) > MAX_RAISED:
            raise Conflict(
                _("More than %(most)d things came of this; they cannot be labelled in one step.")
                % {"most": MAX_RAISED},
                hint=_("Label what came of it first, from the end backwards."),
            )
        frontier = following
    return list(raised.values())


def keeps_longer(asset: Asset, days: int | None) -> bool:
    """Whether so many days of retention (None: without an end) are more than the asset has now."""
    return asset.retention_days is not None and (days is None or days > asset.retention_days)


def locked_asset(asset_id: UUID) -> Asset:
    """The asset, its row and its tenant's labels locked. Raises NotFound."""
    tenant_id = Asset.objects.filter(pk=asset_id).values_list("tenant_id", flat=True).first()
    if tenant_id is None:
        raise NotFound(_("There is no such asset."))
    hold_labels(tenant_id)
    return Asset.objects.select_for_update(of=("self",)).get(pk=asset_id)
