"""Oversight rules as obligations: what an endpoint's answers owe a person comes with the decision to invoke it."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from governance.access.conditions import Finding, Question
from governance.access.hub_caches import HeardCache
from governance.oversight.duties import REFER_BELOW, WITHHOLD_BELOW
from governance.oversight.models import OversightRule
from governance.tenants.context import tenant_context

ENDPOINT = "rollouts.endpoint"

_rules: HeardCache[UUID, dict[str, tuple[float, str, bool]]] = HeardCache("policy")


def referred(question: Question) -> list[Finding]:
    """The condition: `refer-below:LIMIT:OUTPUT`, or `withhold-below:…`, where a rule is about confidence."""
    target = question.target
    if target is None or target.type != ENDPOINT or question.tenant_id is None:
        return []
    tenant_id = question.tenant_id
    found = _rules.get(tenant_id, lambda: _of(tenant_id)).get(target.id)
    if found is None:
        return []
    limit, output, withhold = found
    duty = WITHHOLD_BELOW if withhold else REFER_BELOW
    return [Finding(rule=f"oversight.{target.id}", allow=True, obligation=f"{duty}:{limit}:{output}")]


def _of(tenant_id: UUID) -> dict[str, tuple[float, str, bool]]:
    with tenant_context(tenant_id), transaction.atomic():
        rows = OversightRule.objects.filter(
            tenant_id=tenant_id, target_type=ENDPOINT, confidence_below__isnull=False
        ).values_list("target_id", "confidence_below", "output", "withhold")
        return {
            target_id: (limit, output, withhold)
            for target_id, limit, output, withhold in rows
            if limit is not None
        }
