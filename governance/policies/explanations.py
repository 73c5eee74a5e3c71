"""Why was this refused? The rule in words, what is missing, and who can help."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from governance.access.cedar.engine import Policy, PolicyBook, product_rules
from governance.access.decisions import decide
from governance.access.rules import ActionRule, rule_for
from governance.errors import ObligationUnmet
from governance.policies.models import PolicyVersion
from governance.policies.refusals import Help, Refusal, who_can_help
from governance.policies.selectors import platform_text
from governance.principals import Principal, Role
from governance.tenants.labels import role_label

VERSIONS_READ = 20
LEVELS = {
    1: gettext_lazy("one factor"),
    2: gettext_lazy("two factors"),
    3: gettext_lazy("a factor that cannot be phished, such as a passkey"),
}


@dataclass(frozen=True, slots=True)
class Cause:
    """One rule that refused. `origin` says whose it is; `text` is a policy as Cedar has it, where it may be read."""

    rule: str
    origin: str
    sentence: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to why, what is missing, and who can help."""

    causes: tuple[Cause, ...]
    missing: tuple[str, ...]
    help: Help
    step_up: int = 0


def explain(viewer: Principal, refusal: Refusal) -> Explanation:
    """Put a refusal in words for somebody who may see it."""
    rule = rule_for(refusal.action)
    policies = _policies(viewer, refusal)
    causes = [_cause(name, refusal, rule, policies) for name in refusal.rules] or [
        Cause("", _("the house"), reason) for reason in refusal.reasons
    ]
    concerned = [policies[name][0] for name in refusal.rules if name in policies]
    missing = [*_missing(refusal, rule), *(_proof(policy) for policy in concerned if policy.step_up)]
    missing += [_(policy.help) for policy in concerned if policy.help and not policy.step_up]
    missing += [_("The duty “%(duty)s”, fulfilled.") % {"duty": duty} for duty in refusal.obligations]
    return Explanation(
        causes=tuple(causes),
        missing=tuple(dict.fromkeys([*missing, *refusal.helps])),
        help=who_can_help(viewer, refusal),
        step_up=max((policy.step_up.level for policy in concerned if policy.step_up), default=0),
    )


def _cause(
    name: str, refusal: Refusal, rule: ActionRule | None, policies: dict[str, tuple[Policy, str, bool]]
) -> Cause:
    if name in policies:
        policy, origin, readable = policies[name]
        reason = (
            _(policy.reason) if policy.reason else _("The policy “%(name)s” forbids it.") % {"name": name}
        )
        return Cause(name, origin, reason, policy.text if readable else "")
    if name == "none":
        if rule is None:
            return Cause(name, _("the product"), _("Nothing in the product allows this action to anybody."))
        return Cause(name, _("roles and grants"), _("None of the roles that were held allows this action."))
    if name == "scope":
        return Cause(name, _("the access token"), _("The access token does not reach this far."))
    if name == "policy-error":
        return Cause(
            name,
            _("policies"),
            _(
                "A policy could not be evaluated. What cannot be evaluated refuses, for skipping it would be a hole."
            ),
        )
    if name == ObligationUnmet.code:
        return Cause(name, _("a duty that came with the right"), "; ".join(refusal.reasons))
    return Cause(name, _("a condition of the house"), "; ".join(refusal.reasons))


def _missing(refusal: Refusal, rule: ActionRule | None) -> Iterable[str]:
    if rule is None:
        return
    if "none" in refusal.rules:
        roles = [role_label(Role(role)) for role in sorted(rule.roles - {Role.SYSTEM})]
        if roles:
            yield ngettext(
                "The role %(roles)s in this organisation.",
                "One of the roles %(roles)s in this organisation.",
                len(roles),
            ) % {"roles": ", ".join(roles)}
        if rule.grant:
            yield _("Or the right “%(grant)s” on this very object.") % {"grant": rule.grant}
    if "scope" in refusal.rules:
        scopes, personal = ", ".join(sorted(rule.scopes)), ", ".join(sorted(rule.person_scopes))
        if scopes:
            yield _("An access token with the scope %(scopes)s.") % {"scopes": scopes}
        elif personal:
            yield _("An access token with the scope %(scopes)s that a person has authorised.") % {
                "scopes": personal
            }
        else:
            yield _("A person who is signed in: no access token may do this.")


def _proof(policy: Policy) -> str:
    assert policy.step_up is not None
    level = str(LEVELS.get(policy.step_up.level, policy.step_up.level))
    if not policy.step_up.max_age_s:
        return _("A proof of identity with %(level)s.") % {"level": level}
    minutes = max(1, policy.step_up.max_age_s // 60)
    return ngettext(
        "A proof of identity with %(level)s, at most %(count)d minute old.",
        "A proof of identity with %(level)s, at most %(count)d minutes old.",
        minutes,
    ) % {"level": level, "count": minutes}


def _policies(viewer: Principal, refusal: Refusal) -> dict[str, tuple[Policy, str, bool]]:
    """The policies that refused, by name, with whose they are and whether the viewer may read them."""
    wanted = set(refusal.rules)
    found = {
        policy.id: (policy, _("the product"), True)
        for policy in product_rules().policies
        if policy.id in wanted
    }
    if wanted <= set(found):
        return found
    for policy in _read(platform_text()):
        found.setdefault(policy.id, (policy, _("the platform"), True))
    readable = decide(viewer, "policies.version.view", tenant_id=refusal.tenant_id).allow
    own = PolicyVersion.objects.filter(tenant_id=refusal.tenant_id, activated_at__isnull=False)
    for version in own.order_by("-number")[:VERSIONS_READ]:
        for policy in _read(version.text):
            found.setdefault(
                policy.id, (policy, _("your organisation, %(version)s") % {"version": version}, readable)
            )
    return {name: value for name, value in found.items() if name in wanted}


def _read(text: str) -> Sequence[Policy]:
    try:
        return PolicyBook.parse(text).policies if text else ()
    except ValueError:
        return ()
