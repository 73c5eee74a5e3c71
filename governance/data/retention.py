"""Retention: what is past its time is erased by the same erasers as on request, and the audit log says so."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.audit.services import record
from governance.data import erasers
from governance.data.erasing import mark, why
from governance.data.models import Asset, ErasurePlace
from governance.data.placement_log import drop_old_placements
from governance.keys.sweeping import sweep_orphans
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context

log = logging.getLogger(__name__)

MAX_ERASED = 500
DAY = timedelta(days=1)
Outcome = ErasurePlace.Outcome


def keep_retention() -> int:
    """Erase the assets that are past their retention, one transaction each, and drop old placements; returns how many.

    What needs a person is recorded whenever it is tried, and waits behind what was not tried yet, so that it keeps
    nothing else from being erased. The beat runs it once a day.
    """
    drop_old_placements()
    sweep_orphans()
    with platform_scope(), transaction.atomic():
        kept = ExpressionWrapper(F("retention_days") * DAY, output_field=DurationField())
        due = list(
            Asset.objects.filter(retention_days__isnull=False, erased_at=None)
            .annotate(kept=kept)
            .filter(created_at__lt=Now() - F("kept"))
            .order_by(F("retention_tried_at").asc(nulls_first=True), "created_at")
            .values_list("id", "tenant_id")[:MAX_ERASED]
        )
    erased = 0
    for asset_id, tenant_id in due:
        with tenant_context(tenant_id):
            erased += _erase(asset_id)
    return erased


def _erase(asset_id: UUID) -> bool:
    with transaction.atomic():
        rows = Asset.objects.select_for_update(of=("self",), skip_locked=True)
        asset = rows.filter(pk=asset_id, erased_at=None).first()
        if asset is None:
            return False
        try:
            with transaction.atomic():
                handled = erasers.erase(asset.target, asset.tenant_id, root=True)
        except Exception as error:
            log.exception("%s is past its retention, but could not be erased", asset.target)
            handled = erasers.Handled(Outcome.BY_HAND, why(error))
        asset.retention_tried_at = timezone.now()
        asset.save(update_fields=["retention_tried_at"])
        done = handled.outcome in (Outcome.ERASED, Outcome.KEY_DESTROYED, Outcome.NOTHING)
        mark(asset.target, tenant_id=asset.tenant_id, outcome=Outcome.ERASED if done else handled.outcome)
        record(
            principal=SYSTEM,
            action=f"data.retention.{handled.outcome}",
            target=ObjectRef.of(asset, digest=asset.digest),
            tenant_id=asset.tenant_id,
            reason=_("past its retention of %(days)d days; %(what)s")
            % {"days": asset.retention_days, "what": handled.reason},
        )
        return done
