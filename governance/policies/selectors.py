"""Reading policies and decisions. Row security has already left the tenant's own."""

from __future__ import annotations

import difflib
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from governance.access.cedar.engine import PolicyBook
from governance.access.decisions import decide
from governance.audit.models import AuditEntry
from governance.audit.services import platform_tenant_id
from governance.errors import NotFound
from governance.policies.models import DecisionRecord, PolicyVersion
from governance.policies.source import compose
from governance.principals import Principal
from governance.tenants.context import platform_scope

State = PolicyVersion.State


def home_of(principal: Principal) -> UUID:
    """The tenant that a principal acts in. Raises NotFound where there is none."""
    if principal.tenant_id is None:
        raise NotFound(_("You act in no organisation."))
    return principal.tenant_id


def versions_of(tenant_id: UUID) -> QuerySet[PolicyVersion]:
    """A tenant's versions, the newest first."""
    return PolicyVersion.objects.filter(tenant_id=tenant_id).select_related(
        "author", "activated_by", "tenant"
    )


def version(version_id: UUID) -> PolicyVersion:
    """One version. Raises NotFound."""
    rows = PolicyVersion.objects.select_related("author", "activated_by", "tenant")
    found = rows.filter(pk=version_id).first()
    if found is None:
        raise NotFound(_("There is no such version of the policies."))
    return found


def active_version(tenant_id: UUID) -> PolicyVersion | None:
    """What is in force for a tenant beside the product's and the platform's policies."""
    return PolicyVersion.objects.filter(tenant_id=tenant_id, state=State.ACTIVE).first()


def platform_text() -> str:
    """The platform's policies in force. They bind every tenant, so every tenant may read them."""
    with platform_scope(), transaction.atomic():
        found = active_version(platform_tenant_id())
    return found.text if found else ""


def candidate_book(tenant_id: UUID, text: str) -> PolicyBook:
    """What would be in force for the tenant if `text` were its policies."""
    above = [] if tenant_id == platform_tenant_id() else [platform_text()]
    return compose(*filter(None, above), text)


def difference(before: str, after: str) -> list[str]:
    """A unified diff, line by line; empty when the texts are the same."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)
    return [line for line in lines if not line.startswith(("---", "+++"))]


def decisions_for(principal: Principal) -> QuerySet[DecisionRecord]:
    """The records that a person may see: those of the tenant with the right to, else one's own."""
    rows = DecisionRecord.objects.all()
    if decide(principal, "policies.decision.view").allow:
        return rows if principal.platform else rows.filter(tenant_id=home_of(principal))
    own = Q(principal_kind=principal.kind, principal_id=principal.id)
    if principal.accountable_user_id is not None:
        own |= Q(account_id=principal.accountable_user_id)
    return rows.filter(own, tenant_id=home_of(principal))


def refused_entry(principal: Principal, **wanted: str | UUID) -> AuditEntry:
    """A refusal in the audit log that the person may see: an own one, or any with the right to. Raises NotFound."""
    rows = AuditEntry.objects.filter(decision=AuditEntry.Decision.DENY, **wanted)
    if not decide(principal, "policies.decision.view").allow:
        rows = rows.filter(actor_kind=principal.kind, actor_id=principal.id)
    if not principal.platform:
        rows = rows.filter(tenant_id=home_of(principal))
    found = rows.order_by("-at").first()
    if found is None:
        raise NotFound(_("There is no such refusal, or it is not yours to see."))
    return found


def matching(rows: QuerySet[DecisionRecord], words: str) -> QuerySet[DecisionRecord]:
    """Those whose principal, action or object has the words in its name."""
    return rows.filter(
        Q(principal_label__icontains=words) | Q(action__icontains=words) | Q(target_label__icontains=words)
    )


def visible_versions(principal: Principal) -> QuerySet[PolicyVersion]:
    """The versions that a principal may list: the tenant's, or every tenant's for platform roles."""
    rows = PolicyVersion.objects.all()
    return rows if principal.platform else rows.filter(tenant_id=home_of(principal))
