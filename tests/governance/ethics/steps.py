"""What tests of ethics do all the time, each in its principal's row scope."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db import transaction

from governance.ethics import binding, services
from governance.ethics.models import Approval
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from governance.tenants.context import RowScope, platform_scope, row_scope, tenant_context
from tests.factories.marketplace import QUESTIONNAIRE


def subject(digest: str = "a" * 64) -> ObjectRef:
    return ObjectRef("tests.subject", "1", digest, "Subject")


def thing(number: str = "1", kind: str = "tests.thing") -> ObjectRef:
    return ObjectRef(kind, number, "", f"thing {number}")


def acting(principal: Principal) -> Any:
    return row_scope(RowScope(principal.tenant_id, principal.platform))


def ask(
    principal: Principal, about: ObjectRef | None = None, given: Any = QUESTIONNAIRE, purpose: str = "justice"
) -> Approval:
    with acting(principal):
        return services.request_approval(
            principal=principal,
            subject=about or subject(),
            purpose=purpose,
            questionnaire=given,
            tenant_id=principal.tenant_id,
        )


def decide(
    principal: Principal, approval: Approval, approve: bool = True, reason: str = "Because.", **more: Any
) -> Approval:
    with acting(principal):
        return services.decide_approval(
            principal=principal, approval_id=approval.id, approve=approve, reason=reason, **more
        )


def approved(about: ObjectRef) -> bool:
    with platform_scope(), transaction.atomic():
        return services.is_approved(about)


def bind(tenant_id: Any, *targets: ObjectRef, about: ObjectRef | None = None) -> None:
    system = replace(SYSTEM, tenant_id=tenant_id, platform=False)
    with tenant_context(tenant_id):
        binding.bind(principal=system, subject=about or subject(), objects=targets, tenant_id=tenant_id)
