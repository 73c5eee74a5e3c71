"""From an endpoint's snapshot to the loaded model that answers. An arm that is not ready takes no traffic."""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from inference.serving.classes import ClassReader
from inference.serving.errors import NotReady, Overloaded, ProtocolError
from inference.serving.input_counts import InputCounter, InputCounts
from inference.serving.lookups import Arm, EndpointSnapshot
from inference.serving.metrics import VersionMetrics
from inference.serving.pool import ModelPool, ServedModel
from inference.serving.runtime import LoadError
from inference.serving.split import choose

# How a version came to answer. Only what the split or a session decided says something about the split's arms:
# a cohort is no random sample, and whoever names a version wants that one.
SPLIT, STICKY, RULE, NAMED, STAND_IN = "split", "sticky", "rule", "named", "stand_in"


@dataclass(slots=True, eq=False)
class RoutedArm:
    """An arm of a route with its metrics and, once it is ready, its model."""

    arm: Arm
    metrics: VersionMetrics
    classes: ClassReader
    model: ServedModel | None = None
    counter: InputCounter | None = None


class Choice(NamedTuple):
    """The arm that answers with its model, how it was chosen, and with which probability (the propensity)."""

    routed: RoutedArm
    model: ServedModel
    chosen: str
    propensity: float


class Shadow(NamedTuple):
    """An arm that computes the fraction `share` of the requests behind their answers."""

    routed: RoutedArm
    share: float


class Route:
    """One endpoint as it is routed now. Replaced whole when the endpoint changes."""

    __slots__ = (
        "arms",
        "by_cohort",
        "by_member",
        "by_version",
        "last_used",
        "salt",
        "shadows",
        "snapshot",
        "weighted",
        "weights",
    )

    def __init__(self, snapshot: EndpointSnapshot, now: float, inputs: InputCounts | None = None) -> None:
        self.snapshot = snapshot
        self.salt = str(snapshot.id)
        self.last_used = now
        self.arms = [
            RoutedArm(
                arm,
                VersionMetrics(tenant_id=snapshot.tenant_id, endpoint=snapshot.name, version=arm.version),
                ClassReader.of(arm.outputs),
                counter=inputs.of(snapshot.tenant_id, arm.version_id, arm.reference) if inputs else None,
            )
            for arm in snapshot.arms
        ]
        self.by_version = {routed.arm.version: routed for routed in self.arms}
        self.weighted = [routed for routed in self.arms if routed.arm.weight > 0]
        self.weights = [routed.arm.weight for routed in self.weighted]
        self.by_cohort: dict[str, RoutedArm] = {}
        self.by_member: dict[str, RoutedArm] = {}
        # The snapshot holds only arms that may answer, so a rule for any other version says nothing at present.
        for rule in snapshot.cohorts:
            if (routed := self.by_version.get(rule.version)) is not None:
                self.by_cohort.setdefault(rule.name, routed)
                for member in rule.members:
                    self.by_member.setdefault(member, routed)
        self.shadows = [
            Shadow(routed, shadow.percent / 100)
            for shadow in snapshot.shadows
            if (routed := self.by_version.get(shadow.version)) is not None and not routed.arm.weight
        ]

    def ruled(self, cohort: str, caller: str, session: str) -> RoutedArm | None:
        """The arm that a rule gives this request, whatever the split says."""
        return (
            self.by_cohort.get(cohort)
            or self.by_member.get(caller)
            or (self.by_member.get(session) if session else None)
        )


class Router:
    """The routes of this process. Models of endpoints that nobody called for `idle_unload_s` are unloaded."""

    def __init__(
        self,
        pool: ModelPool,
        *,
        max_routes: int = 256,
        idle_unload_s: float = 900.0,
        inputs: InputCounts | None = None,
    ) -> None:
        self._pool = pool
        self._inputs = inputs
        pool.released = self.forget_model
        self._max_routes = max_routes
        self._idle_unload_s = idle_unload_s
        self._routes: OrderedDict[UUID, Route] = OrderedDict()

    def route(self, snapshot: EndpointSnapshot) -> Route:
        """The route of a snapshot. A changed snapshot takes effect here, and releases the arms that are gone."""
        now = time.monotonic()
        before = route = self._routes.get(snapshot.id)
        if route is not None and route.snapshot is not snapshot:
            if route.snapshot == snapshot:
                route.snapshot = snapshot
            else:
                route = None
        if route is None:
            route = Route(snapshot, now, self._inputs)
            self._routes[snapshot.id] = route
            for gone in before.arms if before is not None else ():
                if gone.arm.version not in route.by_version:
                    gone.metrics.forget()
            objective_s = snapshot.objective_s or self._pool.objective_s
            self._pool.use(snapshot.id, route_versions(route), objective_s=objective_s)
            for routed in route.arms:
                routed.model = self._pool.loaded(routed.arm.version_id)
            if len(self._routes) > self._max_routes:
                self._drop(next(iter(self._routes)))
        route.last_used = now
        self._routes.move_to_end(snapshot.id)
        return route

    async def pick(
        self, route: Route, *, version: str = "", session: str = "", cohort: str = "", caller: str = ""
    ) -> Choice:
        """The arm that answers, with its model ready.

        An explicit `version` bypasses the split, and so does a rule for the `cohort`, the `caller` or the session;
        where a rule's arm cannot be loaded the split decides. The weights decide among the arms that are ready; the
        others are loaded behind the requests. While none of them is ready, one without weight that is (the version that
        answered before) stands in; only when there is none either does a request wait. Raises ProtocolError.
        """
        if version:
            routed = route.by_version.get(version)
            if routed is None:
                known = ", ".join(route.by_version) or "none"
                raise ProtocolError(
                    404, f'endpoint "{route.snapshot.name}" has no version "{version}"; it has {known}'
                )
            return Choice(routed, routed.model or await self._load(route, routed), NAMED, 1.0)
        if route.by_cohort and (ruled := route.ruled(cohort, caller, session)) is not None:
            with suppress(ProtocolError):
                return Choice(ruled, ruled.model or await self._load(route, ruled), RULE, 1.0)
        if not route.weighted:
            raise NotReady(f'endpoint "{route.snapshot.name}" sends traffic to no version at present')
        candidates, weights = route.weighted, route.weights
        if any(routed.model is None for routed in candidates):
            candidates = self._ready(route)
            if (stand_in := self._stand_in(route, candidates)) is not None:
                return stand_in
            weights = [routed.arm.weight for routed in candidates]
        while candidates:
            index = choose(weights, key=session, salt=route.salt)
            routed = candidates[index]
            try:
                model = routed.model or await self._load(route, routed)
                return Choice(routed, model, STICKY if session else SPLIT, weights[index] / sum(weights))
            except ProtocolError:
                # An arm that cannot be loaded takes no traffic; its siblings do.
                candidates = [*candidates[:index], *candidates[index + 1 :]]
                weights = [*weights[:index], *weights[index + 1 :]]
                if not candidates:
                    raise
        raise AssertionError("unreachable: the last candidate returns or raises")

    def mirrors(self, route: Route) -> list[Shadow]:
        """The shadow arms that one request is drawn for. One that is not ready is loaded, and takes none."""
        drawn = []
        for shadow in route.shadows:
            if random.random() < shadow.share:  # noqa: S311 - no secret
                routed = shadow.routed
                routed.model = routed.model or self._pool.loaded(routed.arm.version_id)
                if routed.model is None:
                    self._pool.prepare(routed.arm)
                drawn.append(shadow)
        return drawn

    def drop_idle(self) -> None:
        """Release the models of endpoints that were not called for a while."""
        before = time.monotonic() - self._idle_unload_s
        for endpoint_id in [key for key, route in self._routes.items() if route.last_used < before]:
            self._drop(endpoint_id)

    def close(self) -> None:
        """Release the models of every endpoint."""
        for endpoint_id in list(self._routes):
            self._drop(endpoint_id)

    def tenants(self) -> set[UUID]:
        """Whose endpoints have a route here."""
        return {route.snapshot.tenant_id for route in self._routes.values()}

    def withdraw(self, tenant_id: UUID) -> None:
        """Unload every version of a tenant, also what is being loaded at this moment."""
        for route in list(self._routes.values()):
            if route.snapshot.tenant_id == tenant_id:
                for routed in route.arms:
                    self._pool.withdraw(routed.arm.version_id)

    def forget_model(self, version_id: UUID) -> None:
        """The pool has unloaded a version: the next request that needs it loads it again."""
        for route in self._routes.values():
            for routed in route.arms:
                if routed.arm.version_id == version_id:
                    routed.model = None

    def _ready(self, route: Route) -> list[RoutedArm]:
        """The weighted arms that are ready, or all of them when none is. Starts loading the others."""
        for routed in route.weighted:
            if routed.model is None:
                routed.model = self._pool.loaded(routed.arm.version_id)
        ready = [routed for routed in route.weighted if routed.model is not None]
        for routed in route.weighted:
            if routed.model is None:
                self._pool.prepare(routed.arm)
        return ready or route.weighted

    def _stand_in(self, route: Route, candidates: list[RoutedArm]) -> Choice | None:
        """An arm without weight whose model is in memory, where no candidate's is."""
        if any(routed.model is not None for routed in candidates):
            return None
        for routed in route.arms:
            if not routed.arm.weight and (model := self._pool.loaded(routed.arm.version_id)) is not None:
                return Choice(routed, model, STAND_IN, 1.0)
        return None

    async def _load(self, route: Route, routed: RoutedArm) -> ServedModel:
        try:
            routed.model = await self._pool.get(routed.arm)
        except LoadError as error:
            raise Overloaded(
                f'version {routed.arm.version} of endpoint "{route.snapshot.name}" cannot be loaded: {error}',
                retry_after_s=5,
            ) from error
        return routed.model

    def _drop(self, endpoint_id: UUID) -> None:
        del self._routes[endpoint_id]
        self._pool.use(endpoint_id, ())


def route_versions(route: Route) -> list[UUID]:
    """The versions that a route needs."""
    return [routed.arm.version_id for routed in route.arms]
