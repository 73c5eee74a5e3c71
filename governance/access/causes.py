"""The judge of background work: whether who caused it is still somebody, and still has the right."""

from __future__ import annotations

import time

from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.decisions import decide
from governance.access.hub_caches import HeardCache
from governance.access.standing import principal_now
from governance.audit.services import platform_tenant_id, record
from governance.principals import SYSTEM, Factor, Principal, Signals
from governance.refs import ObjectRef
from governance.tenants.checkpoints import Cause
from governance.tenants.context import RowScope, platform_scope, row_scope
from governance.tenants.models import Tenant

# Everything that may end a cause.
TOPICS = (
    *("membership", "user", "application", "tenant", "grant"),
    *("policy", "stop", "asset", "plugin", "endpoint"),
)
FOREVER = float("inf")
# Empty or why the work must end, and until when that holds by itself (seconds since the epoch).
Answer = tuple[str, float]


class DecisionJudge:
    """Asks the decision point, and remembers its answer until an announcement makes it doubtful."""

    def __init__(self) -> None:
        self._answers: HeardCache[Cause, Answer] = HeardCache(*TOPICS, ends=lambda answer: answer[1])

    def objection(self, cause: Cause) -> str:
        """Empty, or why the work must end."""
        return self._answers.get(cause, lambda: _judged(cause))[0]


def _judged(cause: Cause) -> Answer:
    with platform_scope(), transaction.atomic():
        suspended = Tenant.objects.filter(id__in=[cause.tenant_id], suspended_at__isnull=False).exists()
    problem, until = (_("The organisation is suspended."), FOREVER) if suspended else _objection(cause)
    if problem:
        with platform_scope(), transaction.atomic():
            record(
                principal=_principal(cause),
                action=cause.action or "access.work.continue",
                target=ObjectRef(type=cause.target_type, id=cause.target_id),
                tenant_id=cause.tenant_id or platform_tenant_id(),
                decision="deny",
                reason=problem,
            )
    return problem, until


def _objection(cause: Cause) -> Answer:
    if cause.kind == "system":
        return "", FOREVER
    found, until = principal_now(_principal(cause))
    if found is None:
        gone = _(
            "Who asked for this work may no longer act here: the account, the program or its role is gone."
        )
        return gone, FOREVER
    if not cause.action:
        return "", until
    target = ObjectRef(type=cause.target_type, id=cause.target_id) if cause.target_type else None
    with row_scope(RowScope(found.tenant_id, found.platform)), transaction.atomic():
        # Work that says under which duties it was admitted is asked what it was asked then, with all that it said.
        decision = decide(
            found,
            cause.action,
            target,
            tenant_id=cause.tenant_id,
            context=dict(cause.context),
            enforced=cause.duties is not None,
        )
    if decision.allow:
        since = (
            [duty for duty in decision.obligations if duty not in cause.duties]
            if cause.duties is not None
            else []
        )
        if since:
            unmet = _(
                "A condition that this work cannot fulfil has come into force since it was admitted: %(duties)s. "
                "Ask for the work again."
            )
            return unmet % {"duties": ", ".join(since)}, min(until, decision.valid_until)
        return "", min(until, decision.valid_until)
    refused = _("Who asked for this work may no longer do it: %(reason)s.") % {
        "reason": "; ".join(decision.reasons).rstrip(".")
    }
    return refused, FOREVER


def _principal(cause: Cause) -> Principal:
    """The cause as a principal. Its identity was proven when it asked; nobody is there now to prove it again."""
    if cause.kind == "system":
        return SYSTEM
    return Principal(
        kind=cause.kind,
        id=cause.id,
        label=cause.label,
        tenant_id=cause.tenant_id,
        scopes=None if cause.scopes is None else frozenset(cause.scopes),
        accountable_user_id=cause.accountable_user_id,
        application_id=cause.application_id,
        signals=Signals(factor=Factor.PASSKEY, factor_at=time.time(), bound=True),
    )
