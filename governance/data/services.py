"""Changes of the catalogue: registering, linking, labelling, describing. Loosening takes two people: `loosening`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import record
from governance.data.flow import (
    CARRYING,
    changed,
    flow_from,
    hold_labels,
    keeps_longer,
    locked_asset,
    raise_asset,
)
from governance.data.labels import Limits, checked
from governance.data.models import Asset, LineageEdge
from governance.errors import InvalidInput
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.models import User


@transaction.atomic
def register_asset(
    *,
    principal: Principal,
    target: ObjectRef,
    tenant_id: UUID,
    label: str = "internal",
    subjects: Iterable[str] = (),
    owner: User | UUID | None = None,
    purpose: str = "",
    region: str = "",
    licence: str = "",
    retention_days: int | None = None,
) -> Asset:
    """Enter an object into the catalogue. Registering it again never lowers a label and fills in what was not stated.

    What rises so flows to what came of the asset. Raises InvalidInput for an unknown label or subject.
    """
    require(principal, "data.asset.register", tenant_id=tenant_id)
    label, about = checked(label, subjects)
    stated = {
        "digest": target.digest,
        "owner_id": owner.id if isinstance(owner, User) else owner,
        "purpose": purpose,
        "region": region,
        "licence": licence,
        "retention_days": retention_days,
    }
    asset, made = Asset.objects.get_or_create(
        tenant_id=tenant_id,
        type=target.type,
        object_id=target.id,
        defaults={**stated, "name": (target.label or target.id)[:200], "label": label, "subjects": about},
    )
    if made:
        record(
            principal=principal,
            action="data.asset.register",
            target=ObjectRef.of(asset, digest=target.digest),
            tenant_id=tenant_id,
            details={"object": target.id, "type": target.type, "label": label, "subjects": about},
        )
        changed(asset)
        return asset
    return _registered_again(asset, stated, label=label, subjects=about, principal=principal)


def _registered_again(
    asset: Asset, stated: Mapping[str, Any], *, label: str, subjects: list[str], principal: Principal
) -> Asset:
    news = {
        field: value
        for field, value in stated.items()
        if value
        and field not in ("region", "purpose")
        and value != getattr(asset, field)
        and (field == "digest" or not getattr(asset, field))
    }
    # What was described since stays: a region or a purpose is only filled in.
    limits = Limits(
        label, tuple(subjects), asset.region or stated["region"], asset.purpose or stated["purpose"]
    )
    if not news and not asset.limits.weaker_than(asset.limits.joined(limits)):
        return asset
    hold_labels(asset.tenant_id)
    asset = Asset.objects.select_for_update(of=("self",)).get(pk=asset.pk)
    if news:
        for field, value in news.items():
            setattr(asset, field, value)
        asset.save(update_fields=list(news))
        changed(asset)
    reason = _("registered again, more restricted")
    if raise_asset(asset, limits, principal=principal, reason=reason):
        flow_from([asset], principal=principal, reason=reason)
    return asset


@transaction.atomic
def link(
    *, principal: Principal, source: ObjectRef, target: ObjectRef, relation: str, tenant_id: UUID
) -> LineageEdge:
    """Write down that `target` came about through `source`; the source's limits flow to the target.

    What is not in the catalogue yet is entered as internal. Linking twice changes nothing: what was declassified since
    stays so. Raises InvalidInput for an unknown relation, or a thing and itself; LimitsClash where the target would
    have to be in two regions or serve two purposes.
    """
    require(principal, "data.asset.register", tenant_id=tenant_id)
    if relation not in LineageEdge.Relation.values:
        raise InvalidInput(_("“%(relation)s” is no relation of lineage.") % {"relation": relation})
    if (source.type, source.id) == (target.type, target.id):
        raise InvalidInput(_("Nothing comes of itself."))
    hold_labels(tenant_id)
    ends = [_known(ref, principal=principal, tenant_id=tenant_id) for ref in (source, target)]
    edge, made = LineageEdge.objects.get_or_create(
        tenant_id=tenant_id,
        source=ends[0],
        target=ends[1],
        relation=relation,
        defaults={"by_kind": principal.kind, "by_id": principal.id, "by_label": principal.label[:200]},
    )
    if made:
        record(
            principal=principal,
            action="data.asset.link",
            target=ObjectRef.of(ends[1], digest=ends[1].digest),
            tenant_id=tenant_id,
            details={"relation": relation, "source": str(ends[0].id), "source_name": ends[0].name},
        )
        if relation in CARRYING:
            reason = _("linked to its source")
            if raise_asset(ends[1], ends[0].limits, principal=principal, reason=reason):
                flow_from([ends[1]], principal=principal, reason=reason)
    return edge


def _known(ref: ObjectRef, *, principal: Principal, tenant_id: UUID) -> Asset:
    rows = Asset.objects.select_for_update(of=("self",)).filter(tenant_id=tenant_id)
    found = rows.filter(type=ref.type, object_id=ref.id).first()
    return found or register_asset(principal=principal, target=ref, tenant_id=tenant_id)


@transaction.atomic
def relabel(
    *, principal: Principal, asset_id: UUID, label: str, subjects: Iterable[str], reason: str
) -> list[Asset]:
    """Raise a label or add subjects; it flows to everything that came of the asset. Returns what else was raised.

    Raises InvalidInput when that would lower anything: see `loosening`.
    """
    asset = locked_asset(asset_id)
    require(principal, "data.asset.label", asset)
    label, about = checked(label, subjects)
    if not reason.strip():
        raise InvalidInput(_("Give a reason; it is kept with the label."))
    wanted = replace(asset.limits, label=label, subjects=tuple(about))
    if wanted.weaker_than(asset.limits):
        raise InvalidInput(
            _("This would lower the label of “%(name)s”.") % {"name": asset.name},
            code="lowers-label",
            hint=_("Ask for a declassification: a second person decides it."),
        )
    if not raise_asset(asset, wanted, principal=principal, reason=reason.strip()):
        return []
    return flow_from([asset], principal=principal, reason=reason.strip())


@transaction.atomic
def describe_asset(
    *,
    principal: Principal,
    asset_id: UUID,
    purpose: str | None = None,
    region: str | None = None,
    licence: str | None = None,
    retention_days: int | None = None,
    owner_id: UUID | None = None,
) -> Asset:
    """Change what is written about an asset; what is None stays, 0 days of retention are kept without an end.

    A region or a purpose where there was none flows to what came of it. Whatever loosens (another region or purpose or
    none, a longer retention) takes two people: raises InvalidInput, see `loosening`.
    """
    asset = locked_asset(asset_id)
    require(principal, "data.asset.describe", asset)
    wanted = {
        "purpose": purpose,
        "region": region,
        "licence": licence,
        "retention_days": retention_days,
        "owner_id": owner_id,
    }
    news: dict[str, Any] = {k: v for k, v in wanted.items() if v is not None and v != getattr(asset, k)}
    if "retention_days" in news:
        news["retention_days"] = news["retention_days"] or None
    limits = replace(asset.limits, **{k: v for k, v in news.items() if k in ("region", "purpose")})
    if limits.weaker_than(asset.limits) or (
        "retention_days" in news and keeps_longer(asset, news["retention_days"])
    ):
        raise InvalidInput(
            _("This would loosen what holds “%(name)s” back.") % {"name": asset.name},
            code="loosens-limits",
            hint=_("Ask for it with a reason: a second person decides it."),
        )
    if not news:
        return asset
    grew = asset.limits.weaker_than(limits)
    before = {field: str(getattr(asset, field) or "") for field in news}
    for field, value in news.items():
        setattr(asset, field, value)
    asset.save(update_fields=list(news))
    record(
        principal=principal,
        action="data.asset.describe",
        target=ObjectRef.of(asset, digest=asset.digest),
        tenant_id=asset.tenant_id,
        details={"before": before, "after": {k: str(v) for k, v in news.items()}},
    )
    changed(asset)
    if grew:
        flow_from([asset], principal=principal, reason=_("described as more restricted"))
    return asset


@transaction.atomic
def catalogue(
    target: ObjectRef,
    *,
    tenant_id: UUID,
    label: str,
    subjects: Iterable[str] = (),
    came_of: Mapping[ObjectRef, str] | None = None,
    region: str = "",
    purpose: str = "",
) -> Asset:
    """Enter what the house itself has just made, as part of an act that was decided and audited where it happened.

    `came_of` maps its sources to their relations; the entry gets at least their limits. Raises LimitsClash.
    """
    asset = register_asset(
        principal=SYSTEM,
        target=target,
        tenant_id=tenant_id,
        label=label,
        subjects=subjects,
        region=region,
        purpose=purpose,
    )
    for source, relation in (came_of or {}).items():
        link(principal=SYSTEM, source=source, target=target, relation=relation, tenant_id=tenant_id)
    return asset
