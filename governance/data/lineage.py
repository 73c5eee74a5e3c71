"""Where something came from and what came of it: a bounded walk along the edges, and ways into it from a prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _

from governance.data.models import Asset, LineageEdge
from governance.data.selectors import asset_of, visible_assets
from governance.errors import InvalidInput, NotFound
from governance.principals import Principal
from governance.refs import ObjectRef

MAX_NODES = 300


@dataclass(frozen=True, slots=True)
class Node:
    """An asset and how far it is from the start: below 0 where it came from, above what came of it."""

    asset: Asset
    depth: int


@dataclass(frozen=True, slots=True)
class Graph:
    """What a walk found. `cut` says that there is more than is shown."""

    start: Asset
    nodes: tuple[Node, ...]
    edges: tuple[LineageEdge, ...]
    cut: bool = False

    @property
    def origins(self) -> list[Node]:
        """Where it came from, the nearest first."""
        return sorted((n for n in self.nodes if n.depth < 0), key=lambda n: (-n.depth, n.asset.name))

    @property
    def results(self) -> list[Node]:
        """What came of it, the nearest first."""
        return sorted((n for n in self.nodes if n.depth > 0), key=lambda n: (n.depth, n.asset.name))


@dataclass(frozen=True, slots=True)
class Trace:
    """What a resolver knows of one prediction: the object that answered, and facts to show beside it."""

    target: ObjectRef
    facts: dict[str, str] = field(default_factory=dict)


Resolver = Callable[[str, UUID], Trace | None]
_resolvers: dict[str, Resolver] = {}


def register_resolver(kind: str, resolver: Resolver) -> None:
    """`resolver(reference, tenant_id)` finds what answered; the kind `prediction` is known by its request id."""
    _resolvers[kind] = resolver


def resolve(kind: str, reference: str, tenant_id: UUID) -> Trace:
    """What answered. Raises NotFound, also for a kind that nobody resolves: the two look the same."""
    resolver = _resolvers.get(kind)
    trace = resolver(reference, tenant_id) if resolver and reference else None
    if trace is None:
        raise NotFound(
            _("There is no record of that."),
            hint=_("Records of predictions are kept for some weeks; the reference is the request id."),
        )
    return trace


def asset_for(principal: Principal, asset_id: UUID) -> Asset:
    """An asset that the principal's row scope shows. Raises NotFound."""
    found = visible_assets(principal).filter(pk=asset_id).first()
    if found is None:
        raise NotFound(_("There is no such asset."))
    return found


def asset_named(principal: Principal, text: str, *, tenant_id: UUID) -> Asset:
    """The tenant's asset with this id, or the only one with this name. Raises NotFound, InvalidInput for several."""
    rows = visible_assets(principal).filter(tenant_id=tenant_id)
    try:
        found = list(rows.filter(pk=UUID(text.strip())))
    except ValueError:
        found = list(rows.filter(name=text.strip())[:2])
    if not found:
        raise NotFound(_("There is no such asset."))
    if len(found) > 1:
        raise InvalidInput(_("Several assets have this name; give the id of one."))
    return found[0]


def asset_behind(trace: Trace, tenant_id: UUID) -> Asset:
    """The catalogue's entry of what answered. Raises NotFound."""
    found = asset_of(trace.target, tenant_id=tenant_id)
    if found is None:
        raise NotFound(_("What answered is not in the catalogue."))
    return found


def asset_of_reference(principal: Principal, kind: str, reference: str) -> tuple[Asset, dict[str, str]]:
    """What answered a prediction or batch job of the principal's tenant, with facts about it. Raises NotFound."""
    if principal.tenant_id is None:
        raise NotFound(_("There is no record of that."))
    trace = resolve(kind, reference, principal.tenant_id)
    return asset_behind(trace, principal.tenant_id), trace.facts


def graph_of(
    start: Asset,
    *,
    backward: bool = True,
    forward: bool = True,
    relations: Sequence[str] = tuple(LineageEdge.Relation),
    most: int | None = MAX_NODES,
) -> Graph:
    """Everything that the asset came from and everything that came of it; one query per step, `most` nodes at most."""
    nodes = {start.id: Node(start, 0)}
    edges: dict[UUID, LineageEdge] = {}
    cut = False
    for wanted, sign in ((backward, -1), (forward, 1)):
        frontier = {start.id} if wanted else set()
        depth = 0
        while frontier and not cut:
            depth += sign
            side = Q(target__in=frontier) if sign < 0 else Q(source__in=frontier)
            found = list(
                LineageEdge.objects.filter(side, tenant_id=start.tenant_id, relation__in=relations)
                .select_related("source", "target")
                .order_by("id")[: most + 1 if most else None]
            )
            frontier = set()
            for edge in found:
                other = edge.source if sign < 0 else edge.target
                if other.id not in nodes:
                    if most and len(nodes) >= most:
                        cut = True
                        continue
                    nodes[other.id] = Node(other, depth)
                    frontier.add(other.id)
                edges[edge.id] = edge
    return Graph(start, tuple(nodes.values()), tuple(edges.values()), cut)
