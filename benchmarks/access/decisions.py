"""Decisions per second with 100, 1,000 and 10,000 policies and grants.

Uncached is everything `decide` does for a client that acts by an object grant: the query for the grant, the Cedar
policies about the action, the conditions. One policy in ten is about the very action ("spread"), which is more than
sites have; the "dense" rows put all of them on it. Cached is what the hot route remembers of the same decision.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import cycle
from uuid import UUID

from benchmarks.access import measuring, world
from benchmarks.access.measuring import row

WORLD = world.make()

from django.contrib.auth.models import Permission
from django.db import transaction
from guardian.models import UserObjectPermission

from governance.access.cedar import source
from governance.access.cedar.engine import PolicyBook, product_rules
from governance.access.decisions import decide
from governance.ids import uuid7
from governance.principals import Principal, Role
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context
from inference.serving.lookups import CachedLookups, Caller
from inference.serving.sources import DatabaseSource

ACTION = "rollouts.endpoint.invoke"


def book(count: int, about: int) -> PolicyBook:
    """`count` policies, `about` of which speak of the action."""
    texts = [
        f'@id("bank.{number}") @reason("Not at this time.") forbid (principal, action == '
        f'Action::"{ACTION if number < about else f"other.thing.{number}"}", resource) when '
        f"{{ context has amount && context.amount > {1_000_000 + number} && principal.assurance < 2 }};"
        for number in range(count)
    ]
    return product_rules() + PolicyBook.parse("\n".join(texts))


def grants(count: int, have: int) -> list[ObjectRef]:
    """Grants of the administrator's account on `count` endpoints, `have` of which are there already."""
    permission = Permission.objects.get(codename="invoke_endpoint")
    rows = [
        UserObjectPermission(
            user=WORLD.admin,
            permission=permission,
            content_type=permission.content_type,
            object_pk=str(uuid7()),
        )
        for _ in range(count - have)
    ]
    UserObjectPermission.objects.bulk_create(rows)
    return [ObjectRef("rollouts.endpoint", row.object_pk) for row in rows[:50]]


def decide_about(client: Principal, targets: Iterator[ObjectRef]) -> None:
    """One decision about the next endpoint."""
    decision = decide(client, ACTION, next(targets), tenant_id=WORLD.tenant.id, context={"amount": 1})
    assert decision.allow, decision.reasons


async def remembered(client: Principal, target: ObjectRef, *, times: int) -> list[float]:
    """How long the hot route takes for a decision that it has made before, in milliseconds, sorted."""
    caller, lookups = Caller(client, time.time() + 3600), CachedLookups(DatabaseSource())
    lookups.heard(True)
    endpoint = world.Endpoint(UUID(target.id), WORLD.tenant.id)
    taken = []
    for _ in range(times + 1):
        began = time.perf_counter()
        verdict = await lookups.authorize(caller, endpoint)
        taken.append((time.perf_counter() - began) * 1e3)
        assert verdict.allow, verdict.reason
    lookups.close()
    return sorted(taken[1:])


def main() -> None:
    client = replace(
        WORLD.principal, kind="client", roles=frozenset({Role.SERVICE}), scopes=frozenset({"models:infer"})
    )
    have = 0
    for count in (100, 1_000, 10_000):
        with tenant_context(WORLD.tenant.id), transaction.atomic():
            targets = grants(count, have)
        have = count
        for name, about in (("", count // 10), (", dense", count)):
            policies = book(count, about)

            class Fixed:
                def book(self, tenant_id: object, _book: PolicyBook = policies) -> PolicyBook:
                    return _book

            source.register(Fixed())
            ask = partial(decide_about, client, cycle(targets))
            with tenant_context(WORLD.tenant.id), transaction.atomic():
                taken = measuring.timed(ask, times=1_000)
            row(f"uncached, {count:,} policies and grants{name}", **measuring.figures(taken))
        taken = asyncio.run(remembered(client, targets[0], times=2_000))
        row(f"cached, {count:,} policies and grants", **measuring.figures(taken))


if __name__ == "__main__":
    main()
