"""Every change of the catalogue: registering, linking, labelling, and lowering a label by two people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import record
from governance.data.flow import CARRYING, changed, flow_from, hold_labels, raise_asset, set_label
from governance.data.labels import checked, lowers
from governance.data.models import Asset, Declassification, LineageEdge
from governance.data.states import DECLASSIFICATION_STATES
from governance.errors import Conflict, InvalidInput, NotFound
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.models import User

Wish = Declassification.State


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

    A label that rises flows to what came of the asset. Raises InvalidInput for an unknown label or subject.
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
    asset: Asset, stated: Mapping[str, object], *, label: str, subjects: list[str], principal: Principal
) -> Asset:
    news = {
        field: value
        for field, value in stated.items()
        if value and value != getattr(asset, field) and (field == "digest" or not getattr(asset, field))
    }
    rises = lowers(label=asset.label, subjects=asset.subjects, than_label=label, than_subjects=subjects)
    if not news and not rises:
        return asset
    hold_labels(asset.tenant_id)
    asset = Asset.objects.select_for_update(of=("self",)).get(pk=asset.pk)
    if news:
        for field, value in news.items():
            setattr(asset, field, value)
        asset.save(update_fields=list(news))
        changed(asset)
    reason = _("registered again with a higher label")
    if raise_asset(asset, label=label, subjects=subjects, principal=principal, reason=reason):
        flow_from([asset], principal=principal, reason=reason)
    return asset


@transaction.atomic
def link(
    *, principal: Principal, source: ObjectRef, target: ObjectRef, relation: str, tenant_id: UUID
) -> LineageEdge:
    """Write down that `target` came about through `source`; a label of the source flows to the target.

    What is not in the catalogue yet is entered as internal. Linking twice changes nothing: what was declassified since
    stays so. Raises InvalidInput for an unknown relation, or a thing and itself.
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
            rose = raise_asset(
                ends[1], label=ends[0].label, subjects=ends[0].subjects, principal=principal, reason=reason
            )
            if rose:
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

    Raises InvalidInput when that would lower anything: see `request_declassification`.
    """
    asset = _locked(asset_id)
    require(principal, "data.asset.label", asset)
    label, about = checked(label, subjects)
    if not reason.strip():
        raise InvalidInput(_("Give a reason; it is kept with the label."))
    if lowers(label=label, subjects=about, than_label=asset.label, than_subjects=asset.subjects):
        raise InvalidInput(
            _("This would lower the label of “%(name)s”.") % {"name": asset.name},
            code="lowers-label",
            hint=_("Ask for a declassification: a second person decides it."),
        )
    if not raise_asset(asset, label=label, subjects=about, principal=principal, reason=reason.strip()):
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
    """Change what is written about an asset; what is None stays. The label has services of its own."""
    asset = _locked(asset_id)
    require(principal, "data.asset.describe", asset)
    wanted = {
        "purpose": purpose,
        "region": region,
        "licence": licence,
        "retention_days": retention_days,
        "owner_id": owner_id,
    }
    news = {k: v for k, v in wanted.items() if v is not None and v != getattr(asset, k)}
    if not news:
        return asset
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
    return asset


@transaction.atomic
def request_declassification(
    *, principal: Principal, asset_id: UUID, label: str, subjects: Iterable[str], reason: str
) -> Declassification:
    """Ask that a label be lowered. Nothing changes until somebody else has approved it."""
    asset = _locked(asset_id)
    require(principal, "data.asset.request_declassification", asset)
    label, about = checked(label, subjects)
    if principal.accountable_user_id is None:
        raise InvalidInput(_("Only a person can ask for this."))
    if not reason.strip():
        raise InvalidInput(_("Give a reason; the person who decides reads it."))
    if not lowers(label=label, subjects=about, than_label=asset.label, than_subjects=asset.subjects):
        raise InvalidInput(
            _("This would not lower anything."), hint=_("To raise a label, nobody else needs to be asked.")
        )
    if Declassification.objects.filter(asset=asset, state=Wish.REQUESTED).exists():
        raise Conflict(
            _("There is a request for “%(name)s” already; decide it first.") % {"name": asset.name}
        )
    wish = Declassification.objects.create(
        tenant_id=asset.tenant_id,
        asset=asset,
        from_label=asset.label,
        from_subjects=asset.subjects,
        to_label=label,
        to_subjects=about,
        reason=reason.strip(),
        requested_by_id=principal.accountable_user_id,
    )
    record(
        principal=principal,
        action="data.asset.request_declassification",
        target=ObjectRef.of(asset, digest=asset.digest),
        tenant_id=asset.tenant_id,
        reason=wish.reason,
        details={"to": {"label": label, "subjects": about}, "request": str(wish.id)},
    )
    return wish


@transaction.atomic
def decide_declassification(
    *, principal: Principal, request_id: UUID, approve: bool, reason: str
) -> Declassification:
    """Lower the label, or refuse to. Never by the person who asked, and only while the asset is as it was then."""
    rows = Declassification.objects.select_for_update(of=("self",))
    wish = rows.filter(pk=request_id).first()
    if wish is None:
        raise NotFound(_("There is no such request."))
    asset = _locked(wish.asset_id)
    require(principal, "data.asset.declassify", asset, context={"requested_by": str(wish.requested_by_id)})
    if principal.accountable_user_id is None or principal.accountable_user_id == wish.requested_by_id:
        raise Conflict(_("You asked for this yourself, so somebody else must decide."), code="own-request")
    if not reason.strip():
        raise InvalidInput(_("Give a reason; it is kept with the decision."))
    target = Wish.APPROVED if approve else Wish.REFUSED
    DECLASSIFICATION_STATES.check(wish.state, target, principal.roles)
    if approve and (asset.label, asset.subjects) != (wish.from_label, wish.from_subjects):
        raise Conflict(
            _("The label of “%(name)s” has changed since this was asked for.") % {"name": asset.name},
            hint=_("Refuse the request; a new one can be made."),
        )
    wish.state = target
    wish.decided_by_id = principal.accountable_user_id
    wish.decided_at = timezone.now()
    wish.decision_reason = reason.strip()
    wish.save(update_fields=["state", "decided_by", "decided_at", "decision_reason"])
    if approve:
        set_label(
            asset,
            label=wish.to_label,
            subjects=wish.to_subjects,
            principal=principal,
            action="data.asset.declassify",
            reason=wish.decision_reason,
        )
    else:
        record(
            principal=principal,
            action="data.asset.keep_label",
            target=ObjectRef.of(asset, digest=asset.digest),
            tenant_id=asset.tenant_id,
            reason=wish.decision_reason,
            details={"request": str(wish.id)},
        )
    return wish


@transaction.atomic
def catalogue(
    target: ObjectRef,
    *,
    tenant_id: UUID,
    label: str,
    subjects: Iterable[str] = (),
    came_of: Mapping[ObjectRef, str] | None = None,
    region: str = "",
) -> Asset:
    """Enter what the house itself has just made, as part of an act that was decided and audited where it happened.

    `came_of` maps its sources to their relations; the entry gets at least their labels.
    """
    asset = register_asset(
        principal=SYSTEM, target=target, tenant_id=tenant_id, label=label, subjects=subjects, region=region
    )
    for source, relation in (came_of or {}).items():
        link(principal=SYSTEM, source=source, target=target, relation=relation, tenant_id=tenant_id)
    return asset


def _locked(asset_id: UUID) -> Asset:
    tenant_id = Asset.objects.filter(pk=asset_id).values_list("tenant_id", flat=True).first()
    if tenant_id is None:
        raise NotFound(_("There is no such asset."))
    hold_labels(tenant_id)
    return Asset.objects.select_for_update(of=("self",)).get(pk=asset_id)
