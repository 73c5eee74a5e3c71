"""The port for erasing: each app says how what it keeps is found and erased. The ground knows kinds, not tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from governance.data.models import ErasurePlace
from governance.refs import ObjectRef

Outcome = ErasurePlace.Outcome


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of one place. `reason` is for people: what was removed, or why something stays."""

    outcome: str
    reason: str = ""


Erase = Callable[[ObjectRef, UUID], Handled]
Find = Callable[[str, UUID], Iterable[ObjectRef]]

_erase: dict[str, Erase] = {}
_find: dict[str, Find] = {}


def register(kind: str, *, erase: Erase, find: Find | None = None) -> None:
    """How objects of one type are erased, and (`find`) how those about a data subject's key are found.

    `erase(target, tenant_id)` runs in a transaction of the tenant's and may be called twice for one object; `find`
    gives the same places when it is asked again.
    """
    _erase[kind] = erase
    if find is not None:
        _find[kind] = find


def erase(target: ObjectRef, tenant_id: UUID) -> Handled:
    """Erase one object. A kind that nobody registered needs a person."""
    known = _erase.get(target.type)
    if known is None:
        return Handled(Outcome.BY_HAND, "no part of the house knows how to erase this kind")
    return known(target, tenant_id)


def places_of(subject: str, tenant_id: UUID) -> list[ObjectRef]:
    """Everything that any app keeps about a data subject's key."""
    return [place for kind in sorted(_find) for place in _find[kind](subject, tenant_id)]
