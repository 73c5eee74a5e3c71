"""Whether a file may lie in the house: the rules that keep work on it from the home pool keep its bytes away too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from governance.access.cedar.requests import request_of
from governance.access.cedar.source import book_for
from governance.access.conditions import Question
from governance.access.rules import names_of
from governance.data.labels import DEFAULT, checked
from governance.data.pools import HOME_POOL, pool_at, pools_for
from governance.errors import Conflict
from governance.principals import SYSTEM
from governance.refs import ObjectRef

ACTION = "data.work.place"
HELD = "openclaw.held-elsewhere"


class StaysElsewhere(Conflict):
    """The file may not be kept here. Says the rule, and where it may lie."""

    code = "stays-elsewhere"

    def __init__(self, rule: str, reason: str, places: list[str]) -> None:
        self.rule = rule
        super().__init__(
            _("This file may not be kept in the house. %(reason)s (rule %(rule)s)")
            % {"reason": reason, "rule": rule},
            hint=_("Keep it where %(pools)s can reach it, and register its address here.")
            % {"pools": ", ".join(places)}
            if places
            else _("No pool is described yet that may hold it; ask the platform's administrator."),
            errors=[{"rule": rule, "detail": reason}],
        )


def against(facts: Mapping[str, Any], tenant_id: UUID, context: Mapping[str, Any]) -> tuple[str, str]:
    """The first rule that keeps data with these facts from where the context says, and its sentence; empty for none."""
    names = names_of(ACTION)
    question = Question(SYSTEM, ACTION, ObjectRef("data.asset", "asked"), tenant_id, context)
    verdict = book_for(tenant_id).evaluate(request_of(question, groups=names - {ACTION}, facts=facts), names)
    if verdict.allow:
        return "", ""
    if not verdict.policies:
        return "policy-error", ""
    first = verdict.policies[0]
    return first.id, _(first.reason) if first.reason else ""


def ensure_may_lie_here(tenant_id: UUID, described: Mapping[str, Any]) -> None:
    """Refuse an upload that is described as held elsewhere, or that the placement rules keep from the home pool.

    `described` is what is said of the dataset. Raises StaysElsewhere, and InvalidInput for an unknown label or pool.
    """
    label, subjects = checked(described.get("label", DEFAULT), described.get("subjects", ()))
    facts = {"label": label, "subjects": subjects, "region": described.get("region", "")}
    known = pools_for(tenant_id)
    held_at = described.get("held_at", "")
    if held_at and held_at != HOME_POOL:
        pool_at(held_at)
        raise StaysElsewhere(HELD, str(_("It is said to lie at “%(pool)s”.") % {"pool": held_at}), [held_at])
    home = next(pool for pool in known if pool.name == HOME_POOL)
    rule, reason = against(facts, tenant_id, home.context)
    if rule:
        places = [pool.name for pool in known if not against(facts, tenant_id, pool.context)[0]]
        raise StaysElsewhere(rule, reason, places)
