"""Labels flow along lineage: what came of a source is never less restricted than the source was when it changed."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.audit.services import record
from governance.data import selectors
from governance.data.labels import lowers, most_confidential, union
from governance.data.models import Asset, LineageEdge
from governance.errors import Conflict
from governance.principals import Principal
from governance.refs import ObjectRef

Relation = LineageEdge.Relation
# An approval and an evaluation say something about a version; neither puts data into it.
CARRYING = (Relation.DERIVED_FROM, Relation.TRAINED_ON, Relation.DEPLOYED_TO, Relation.PREDICTED_BY)
MAX_RAISED = 50_000


def hold_labels(tenant_id: UUID) -> None:
    """One change of labels or lineage per tenant at a time, so that a new link cannot slip past a relabelling."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"data.labels:{tenant_id}"])


def raise_asset(
    asset: Asset, *, label: str, subjects: Iterable[str], principal: Principal, reason: str
) -> bool:
    """Make one asset at least this restricted; returns whether that changed anything."""
    wanted_label = most_confidential([asset.label, label])
    wanted_subjects = union(asset.subjects, subjects)
    if not lowers(
        label=asset.label, subjects=asset.subjects, than_label=wanted_label, than_subjects=wanted_subjects
    ):
        return False
    set_label(
        asset,
        label=wanted_label,
        subjects=wanted_subjects,
        principal=principal,
        action="data.asset.raise",
        reason=reason,
    )
    return True


def set_label(
    asset: Asset, *, label: str, subjects: list[str], principal: Principal, action: str, reason: str
) -> None:
    """Write label and subjects, the audit entry, and the announcement."""
    before = {"label": asset.label, "subjects": asset.subjects}
    asset.label, asset.subjects = label, subjects
    asset.save(update_fields=["label", "subjects"])
    record(
        principal=principal,
        action=action,
        target=ObjectRef.of(asset, digest=asset.digest),
        tenant_id=asset.tenant_id,
        reason=reason,
        details={
            "before": before,
            "after": {"label": label, "subjects": subjects},
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

    Ends, cycles or not, because labels only rise and have a top. The caller holds `hold_labels`. Raises Conflict past
    MAX_RAISED assets, and then nothing has changed.
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
                label=source.label,
                subjects=source.subjects,
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
