"""Oversight rules: which answers of an endpoint or a skill go to a person, and what that person is asked."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.broadcast import announce
from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import InvalidInput, NotFound
from governance.oversight.models import OversightRule
from governance.oversight.tasking import YES_NO, options_of
from governance.principals import Principal
from governance.refs import ObjectRef


@transaction.atomic
def save_rule(
    *,
    principal: Principal,
    target: ObjectRef,
    tenant_id: UUID,
    question: str,
    options: Sequence[str],
    confidence_below: float | None,
    output: str,
    due_minutes: int,
    withhold: bool = False,
) -> OversightRule:
    """Say when an endpoint's or skill's answers go to a person; with `withhold`, before they are given.

    What is withheld is confirmed or rejected, so such a rule has no answers of its own. Raises InvalidInput.
    """
    require(principal, "oversight.rule.manage", target, tenant_id=tenant_id)
    if confidence_below is not None and not 0 <= confidence_below <= 1:
        raise InvalidInput(_("A confidence is a number from 0 to 1."))
    if not 1 <= due_minutes <= 30 * 24 * 60:
        raise InvalidInput(_("The time to decide is from one minute to thirty days."))
    if not question.strip():
        raise InvalidInput(_("Say what the person is asked."))
    if confidence_below is not None and target.type != "rollouts.endpoint":
        raise InvalidInput(_("Only an endpoint's answers have a confidence."))
    answers = options_of(options or YES_NO)
    if withhold and confidence_below is None:
        raise InvalidInput(_("Say below which confidence an answer is withheld."))
    if withhold and answers != list(YES_NO):
        raise InvalidInput(
            _("What is withheld is confirmed or rejected; a rule that withholds has no other answers."),
            hint=_("Leave the possible answers as they are: confirm, reject."),
        )
    rule, _created = OversightRule.objects.update_or_create(
        tenant_id=tenant_id,
        target_type=target.type,
        target_id=target.id,
        defaults={
            "target_label": target.label[:200],
            "question": question.strip()[:500],
            "options": answers,
            "confidence_below": confidence_below,
            "output": output,
            "due_minutes": due_minutes,
            "withhold": withhold,
        },
    )
    announce("policy", str(tenant_id))
    record(
        principal=principal,
        action="oversight.rule.save",
        target=target,
        tenant_id=tenant_id,
        details={"confidence_below": str(confidence_below), "due_minutes": due_minutes, "withhold": withhold},
    )
    return rule


@transaction.atomic
def remove_rule(*, principal: Principal, rule_id: UUID) -> None:
    """From now on the endpoint's or skill's answers go to nobody by themselves."""
    rule = OversightRule.objects.select_for_update(of=("self",)).filter(pk=rule_id).first()
    if rule is None:
        raise NotFound(_("There is no such rule."))
    require(principal, "oversight.rule.manage", rule)
    announce("policy", str(rule.tenant_id))
    record(
        principal=principal,
        action="oversight.rule.remove",
        target=ObjectRef(rule.target_type, rule.target_id, label=rule.target_label),
        tenant_id=rule.tenant_id,
    )
    rule.delete()
