"""Which stops are in force, from memory: asked at every decision to invoke something, told of every change."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.conditions import Finding, Question
from governance.access.hub import EVERYTHING, Hub, hub
from governance.oversight.models import Stop
from governance.tenants.context import platform_scope

TYPES = {"rollouts.endpoint": Stop.Scope.ENDPOINT, "library.skill": Stop.Scope.SKILL}


@dataclass(frozen=True, slots=True)
class InForce:
    """A stop as a decision needs it."""

    id: UUID
    tenant_id: UUID
    scope: str
    target_type: str
    target_id: str
    reason: str

    def covers(self, tenant_id: UUID | None, target_type: str, target_id: str) -> bool:
        """Whether it stops this thing of this tenant."""
        if self.scope == Stop.Scope.PLATFORM:
            return True
        if self.tenant_id != tenant_id:
            return False
        return self.scope == Stop.Scope.TENANT or (self.target_type, self.target_id) == (
            target_type,
            target_id,
        )


class StopBook:
    """Every stop in force, read once and again when one changes. There are few, so all are kept."""

    def __init__(self, heard: Hub = hub) -> None:
        self._hub = heard
        self._lock = threading.Lock()
        self._known: tuple[InForce, ...] = ()
        self._read_at = float("-inf")
        self._changed_at = float("-inf")
        heard.subscribe_cache(self._forget)

    def covering(self, tenant_id: UUID | None, target_type: str, target_id: str) -> Iterable[InForce]:
        """The stops that cover a thing, the widest first."""
        order = list(Stop.Scope)[::-1]
        found = [stop for stop in self._all() if stop.covers(tenant_id, target_type, target_id)]
        return sorted(found, key=lambda stop: order.index(Stop.Scope(stop.scope)))

    def _all(self) -> tuple[InForce, ...]:
        if time.monotonic() - self._read_at > self._hub.max_age_s:
            began = time.monotonic()
            with platform_scope(), transaction.atomic():
                rows = Stop.objects.exclude(state=Stop.State.RELEASED).values_list(
                    "id", "tenant_id", "scope", "target_type", "target_id", "reason"
                )
                known = tuple(InForce(*row) for row in rows)
            with self._lock:
                # A change that was heard of while reading makes what was read doubtful.
                if began > self._changed_at:
                    self._known, self._read_at = known, began
            return known
        return self._known

    def _forget(self, topic: str, _key: str) -> None:
        if topic in ("stop", EVERYTHING):
            with self._lock:
                self._changed_at = time.monotonic()
                self._read_at = float("-inf")

    def clear(self) -> None:
        """Read again at the next question: in the process that made the change, before anybody announces it."""
        self._forget("stop", "")


book = StopBook()


def stopped(question: Question) -> list[Finding]:
    """The condition that the decision point asks about everything that runs a model or a skill."""
    target = question.target
    return [
        Finding(
            rule=f"stop.{stop.id}",
            reason=_("It was stopped: %(reason)s") % {"reason": stop.reason},
            help=_("Two people can release it, on the page “Stop buttons”."),
        )
        for stop in book.covering(
            question.tenant_id, target.type if target else "", target.id if target else ""
        )
    ][:1]
