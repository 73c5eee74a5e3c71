"""The policy decision point: every face asks `decide`; what nothing allows is refused (NIST SP 800-207, tenets 3-6).

A decision has three parts, each of which can only narrow the one before it: who has what (roles, object grants, OAuth
scopes), under which conditions (Cedar policies: the product's own, the platform's, the tenant's), and what other apps
of the ground know (stop buttons, an approval's conditions). The principal's identity is judged again every time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from governance.access import conditions
from governance.access.assurance import assurance
from governance.access.cedar.engine import Policy, PolicyBook, Verdict
from governance.access.cedar.requests import ENTITY_TYPES, request_of
from governance.access.cedar.source import book_for
from governance.access.conditions import Question
from governance.access.facts import facts_of
from governance.access.grants import has_grant
from governance.access.recorder import recorder
from governance.access.rules import (
    ActionRule,
    names_of,
    register,
    registered_actions,
    rule_for,
    rules_version,
)
from governance.audit.services import record_read
from governance.decision import Decision, StepUp
from governance.errors import AccessDenied, ObligationUnmet, StepUpRequired
from governance.principals import PLATFORM_ROLES, Principal
from governance.refs import ObjectRef

__all__ = [
    "ActionRule",
    "Resource",
    "decide",
    "policy_version",
    "register",
    "registered_actions",
    "require",
    "require_obligations",
]

Resource = ObjectRef | models.Model | None
# How long an answer may be kept whose policies look at the clock.
CLOCK_S = 1.0
# Groups of actions by which somebody gets content to see (`governance.access.rules`). `move_data` is none of them: it
# is asked for every pool that work might go to. What leaves is kept where work is sent (`governance.data.placement`).
READS = frozenset({"read_data", "export"})


def policy_version(tenant_id: UUID | None = None) -> str:
    """A short name of all rules and policies in force for a tenant's things; it is written beside every decision."""
    return f"{rules_version()}.{book_for(tenant_id).version}"


def decide(
    principal: Principal,
    action: str,
    resource: Resource = None,
    *,
    tenant_id: UUID | None = None,
    context: Mapping[str, Any] | None = None,
    enforced: bool = False,
) -> Decision:
    """May `principal` do `action` on `resource`?

    `tenant_id` says whose thing it is where the resource does not (an `ObjectRef`); without either, the principal's
    own tenant is meant. `context` carries facts of the moment for policies and conditions; their names are those of
    the Cedar schema. `enforced` says that the caller obeys the answer, rather than showing or hiding something by it;
    records tell the two apart. Costs one query for an object grant, and what the conditions of the groups ask.
    """
    target = resource if isinstance(resource, ObjectRef) or resource is None else ObjectRef.of(resource)
    owner = tenant_id or getattr(resource, "tenant_id", None) or principal.tenant_id
    rule = rule_for(action)
    allow, name, reason, help_ = _who_has_what(principal, rule, target, owner)
    book = book_for(owner)
    version = f"{rules_version()}.{book.version}"
    question = Question(principal, action, target, owner, context or {}, enforced)
    if not allow or rule is None or rule.anonymous:
        return _kept(
            Decision(
                allow,
                action,
                (reason,),
                principal,
                target,
                owner,
                policy_version=version,
                rules=(name,),
                helps=(help_,) if help_ else (),
            ),
            {},
            enforced,
        )
    return _under_conditions(question, book, version, (name, reason))


def require(
    principal: Principal,
    action: str,
    resource: Resource = None,
    *,
    tenant_id: UUID | None = None,
    context: Mapping[str, Any] | None = None,
) -> Decision:
    """Like `decide`, but raises `AccessDenied`, which every face audits and turns into a clear answer.

    Raises StepUpRequired when a stronger or fresher proof of identity is all that is missing. A yes to reading or
    exporting restricted content is kept in the audit log here, so that no caller can forget it.
    """
    decision = decide(principal, action, resource, tenant_id=tenant_id, context=context, enforced=True)
    if decision.allow:
        _keep_read(decision)
        return decision
    if decision.step_up is not None:
        raise StepUpRequired(
            decision.reasons[0],
            decision=decision,
            hint=" ".join(decision.helps) or _("Prove who you are again."),
        )
    raise AccessDenied(
        _message(decision),
        decision=decision,
        hint=" ".join(decision.helps)
        or _("Ask an administrator of your organisation for the right “%(action)s”.") % {"action": action},
    )


def _keep_read(decision: Decision) -> None:
    """In the caller's transaction: what is read and its entry are both kept or both lost."""
    if decision.target is None or READS.isdisjoint(names_of(decision.action)):
        return
    record_read(
        principal=decision.principal,
        action="data.asset.read",
        target=decision.target,
        label=str(facts_of(decision.target, decision.tenant_id).get("label", "")),
        tenant_id=decision.tenant_id,
        details={"decision": decision.action},
    )


def require_obligations(decision: Decision, *, fulfilled: frozenset[str]) -> None:
    """Raise `ObligationUnmet` unless the caller can and did fulfil every obligation of an allowed decision.

    A service that knows no obligations passes an empty set: a duty nobody fulfils is a refusal, never ignored.
    """
    if unmet := [duty for duty in decision.obligations if duty not in fulfilled]:
        raise ObligationUnmet(
            _("This is allowed on a condition that was not fulfilled: %(duties)s.")
            % {"duties": ", ".join(unmet)},
            decision=decision,
            hint=_("Ask the person who approved it, or fulfil the condition first."),
        )


def _message(decision: Decision) -> str | Promise:
    # Roles and grants are told in the audit log; to the person, the reason of a policy is what helps.
    return (
        decision.reasons[0] if decision.rules and _is_policy(decision.rules[0]) else _("You may not do this.")
    )


def _is_policy(rule: str) -> bool:
    return rule not in ("none", "scope", "open") and not rule.startswith(("role ", "grant "))


def _who_has_what(
    principal: Principal, rule: ActionRule | None, target: ObjectRef | None, owner: UUID | None
) -> tuple[bool, str, str, str]:
    """Whether roles, grants and scopes allow it; the rule that decided, its reason, and who can help."""
    if rule is None:
        return False, "none", "no rule allows this action", ""
    if rule.anonymous:
        return True, "open", "open to everybody", ""
    if not principal.is_authenticated:
        return False, "none", "not signed in", str(_("Sign in, or send an access token."))
    if principal.scopes is not None and rule.scopes_of(principal.kind).isdisjoint(principal.scopes):
        return _lacks_scope(principal, rule)
    for role in sorted(principal.roles & frozenset(rule.roles)):
        if role in PLATFORM_ROLES or owner == principal.tenant_id or rule.cross_tenant:
            return True, f"role {role.value}", f"role {role.value}", ""
    if rule.grant and target is not None and principal.user_id is not None and owner == principal.tenant_id:
        if has_grant(user_id=principal.user_id, permission=rule.grant, object_id=target.id):
            return True, f"grant {rule.grant}", f"grant {rule.grant}", ""
        return False, "none", f"neither a role nor the grant {rule.grant} allows it", ""
    return False, "none", "no role of the principal allows it", ""


def _lacks_scope(principal: Principal, rule: ActionRule) -> tuple[bool, str, str, str]:
    wanted = " or ".join(sorted(rule.scopes_of(principal.kind)))
    if wanted:
        help_ = _("Ask for a token with the scope %(scope)s.") % {"scope": wanted}
        return False, "scope", f"the token lacks the scope {wanted}", str(help_)
    if rule.person_scopes:
        scopes = " or ".join(sorted(rule.person_scopes))
        help_ = _("A person can authorise an application to do it, with the scope %(scope)s.") % {
            "scope": scopes
        }
        return False, "scope", "no program may do this in its own name", str(help_)
    return False, "scope", "the token lacks the scope (no token may do this)", ""


def _under_conditions(
    question: Question, book: PolicyBook, version: str, who_has_what: tuple[str, str]
) -> Decision:
    names = names_of(question.action)
    who = ENTITY_TYPES[question.principal.kind]
    now = time.time()
    request = request_of(
        question,
        groups=names - {question.action},
        facts=facts_of(question.target, question.tenant_id) if book.asks_for_facts(names) else {},
        now=now,
    )
    verdict = book.evaluate(request, names)
    valid_until = now + CLOCK_S if book.watches_the_clock(names, who) else assurance(question.principal).until
    rule, reason = who_has_what
    if not verdict.allow:
        return _kept(_refused_by(verdict, question, version), request, question.enforced)
    found = conditions.findings(question, names)
    refusals = [finding for finding in found if not finding.allow]
    permits = [policy for policy in verdict.policies if policy.obligation]
    duties = [finding for finding in found if finding.allow and finding.obligation]
    return _kept(
        Decision(
            allow=not refusals,
            action=question.action,
            reasons=tuple(finding.reason for finding in refusals) or (reason,),
            principal=question.principal,
            target=question.target,
            tenant_id=question.tenant_id,
            obligations=()
            if refusals
            else (*(p.obligation for p in permits), *(finding.obligation for finding in duties)),
            policy_version=version,
            rules=tuple(finding.rule for finding in refusals)
            or (rule, *(p.id for p in permits), *(finding.rule for finding in duties)),
            helps=tuple(finding.help for finding in refusals if finding.help),
            valid_until=min(
                [question.principal.until, valid_until, *(finding.valid_until for finding in found)]
            ),
        ),
        request,
        question.enforced,
    )


def _refused_by(verdict: Verdict, question: Question, version: str) -> Decision:
    """A refusal in the words of the policies that made it; a step-up when that is all that any of them misses."""
    policies = verdict.policies
    wanted = [policy.step_up for policy in policies if policy.step_up is not None]
    ages = [step.max_age_s for step in wanted if step.max_age_s]
    return Decision(
        allow=False,
        action=question.action,
        reasons=tuple(_reason(policy) for policy in policies)
        or tuple(f"a policy could not be evaluated: {error}" for error in verdict.errors),
        principal=question.principal,
        target=question.target,
        tenant_id=question.tenant_id,
        policy_version=version,
        rules=tuple(policy.id for policy in policies) or ("policy-error",),
        helps=tuple(_(policy.help) for policy in policies if policy.help),
        step_up=StepUp(max(step.level for step in wanted), min(ages, default=0))
        if wanted and len(wanted) == len(policies)
        else None,
        valid_until=0.0,
    )


def _reason(policy: Policy) -> str:
    return _(policy.reason) if policy.reason else f"the policy {policy.id} forbids it"


def _kept(decision: Decision, request: dict[str, Any], enforced: bool) -> Decision:
    recorder.note(decision, request, enforced=enforced)
    return decision
