"""Which checks run, and how strictly: the code's defaults, where no administrator has moved a switch."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import platform_tenant_id, record
from governance.errors import NotFound
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from marketplace.review.checks.base import Check
from marketplace.review.checks.registry import CHECKS
from marketplace.review.models import CheckSetting


@dataclass(frozen=True, slots=True)
class EffectiveCheck:
    """A check with the switches in force."""

    check: Check
    enabled: bool
    enforced: bool
    required: bool


def effective_checks() -> list[EffectiveCheck]:
    """Every check with its switches, in reading order."""
    with platform_scope(), transaction.atomic():
        moved = {setting.name: setting for setting in CheckSetting.objects.all()}
    return [
        EffectiveCheck(
            check,
            enabled=(moved.get(check.name) or check).enabled,
            enforced=(moved.get(check.name) or check).enforced,
            required=(moved.get(check.name) or check).required,
        )
        for check in CHECKS
    ]


@transaction.atomic
def set_check(
    *, principal: Principal, name: str, enabled: bool, enforced: bool, required: bool
) -> CheckSetting:
    """Move the switches of one check; submissions already under way keep theirs."""
    require(principal, "review.check.configure")
    if name not in {check.name for check in CHECKS}:
        raise NotFound(_("There is no such check."))
    setting, _created = CheckSetting.objects.update_or_create(
        name=name,
        defaults={"enabled": enabled, "enforced": enforced, "required": required},
        create_defaults={
            "tenant_id": platform_tenant_id(),
            "enabled": enabled,
            "enforced": enforced,
            "required": required,
        },
    )
    record(
        principal=principal,
        action="review.check.configure",
        target=ObjectRef.of(setting),
        tenant_id=setting.tenant_id,
        details={"enabled": enabled, "enforced": enforced, "required": required},
    )
    return setting
