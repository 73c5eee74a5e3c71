"""From a question to a Cedar request: principal, action, resource and context as entities with attributes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from governance.access.assurance import assurance
from governance.access.cedar.engine import FACTS, entity, text_of
from governance.access.conditions import Question
from governance.principals import Principal

ENTITY_TYPES = {"user": "User", "client": "Client", "system": "System", "anonymous": "User"}
# What a caller of `decide` may say about the moment, with the type that the schema gives it.
CONTEXT: dict[str, type] = {
    "purpose": str,
    "amount": int,
    "traffic_share": int,
    "pool": str,
    "pool_kind": str,
    "pool_region": str,
    "certified_for": list,
    "requested_by": str,
}


def request_of(
    question: Question, *, groups: Iterable[str], facts: Mapping[str, Any], now: float | None = None
) -> dict[str, Any]:
    """The request as `PolicyBook.evaluate` takes it and as it is recorded for a later what-if. Plain JSON."""
    at = time.time() if now is None else now
    principal, target = question.principal, question.target
    who = {"type": ENTITY_TYPES[principal.kind], "id": principal.id or "anonymous"}
    what = {"type": "Resource", "id": f"{target.type}:{target.id}" if target else ""}
    resource = {
        "kind": target.type if target else "",
        "tenant": text_of(question.tenant_id),
        **{name: facts[name] for name in FACTS if facts.get(name)},
    }
    return {
        "principal": who,
        "action": {"type": "Action", "id": question.action},
        "resource": what,
        "context": moment(question.context, at),
        "entities": [
            {"uid": who, "attrs": who_is(principal, at), "parents": []},
            {"uid": what, "attrs": resource, "parents": []},
            entity("Action", question.action, {}, groups),
        ],
    }


def who_is(principal: Principal, now: float) -> dict[str, Any]:
    """A principal's attributes. The age of a factor that was never shown is a hundred years."""
    signals = principal.signals
    return {
        "roles": sorted(role.value for role in principal.roles),
        "tenant": text_of(principal.tenant_id),
        "account": text_of(principal.accountable_user_id),
        "platform": principal.platform,
        "token": principal.scopes is not None,
        "assurance": assurance(principal, now=now).level,
        "factor": signals.factor.value,
        "factor_age_s": int(min(max(now - signals.factor_at, 0), 100 * 365 * 86400)),
        "device": signals.device.value,
    }


def moment(context: Mapping[str, Any], now: float) -> dict[str, Any]:
    """The context record. Raises ValueError for a fact that the schema does not know: a programming error."""
    if unknown := set(context) - set(CONTEXT):
        raise ValueError(f"the schema of policies does not know {sorted(unknown)}")
    clock = time.gmtime(now)
    return {
        **{name: CONTEXT[name](value) for name, value in context.items() if value is not None},
        "now": int(now),
        "hour": clock.tm_hour,
        "weekday": clock.tm_wday,
    }
