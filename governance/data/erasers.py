"""The port for erasing: each app says how what it keeps is found and erased. The ground knows kinds, not tables."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import DatabaseError, transaction

from governance.data.models import ErasurePlace
from governance.errors import Unavailable
from governance.refs import ObjectRef

Outcome = ErasurePlace.Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of one place. `reason` is for people: what was removed, or why something stays."""

    outcome: str
    reason: str = ""


Erase = Callable[[ObjectRef, UUID], Handled]
Find = Callable[[str, UUID], Iterable[ObjectRef]]

_erase: dict[str, Erase] = {}
_erase_root: dict[str, Erase] = {}
_find: dict[str, Find] = {}


def register(kind: str, *, erase: Erase, find: Find | None = None, erase_root: Erase | None = None) -> None:
    """How objects of one type are erased, and (`find`) how those about a data subject's key are found.

    `erase_root` is for an object that is itself to be erased, where that is more than what its sources' erasure asks
    for. `erase(target, tenant_id)` runs in a transaction of the tenant's and may be called twice for one object; files
    go by `when_committed`, so that what is rolled back has lost nothing. `find` gives the same places when it is asked
    again.
    """
    _erase[kind] = erase
    if erase_root is not None:
        _erase_root[kind] = erase_root
    if find is not None:
        _find[kind] = find


def find_also(name: str, find: Find) -> None:
    """One more way by which objects of a registered type are found for a data subject's key."""
    _find[name] = find


def erase(target: ObjectRef, tenant_id: UUID, *, root: bool = False) -> Handled:
    """Erase one object; `root`: it is itself what was to be erased. A kind that nobody registered needs a person."""
    known = (_erase_root.get(target.type) if root else None) or _erase.get(target.type)
    if known is None:
        return Handled(Outcome.BY_HAND, "no part of the house knows how to erase this kind")
    return known(target, tenant_id)


def when_committed(remove: Callable[[], None], what: str) -> None:
    """Remove a file once the erasure of its row is certain. What then fails is said, and swept up later."""

    def removed() -> None:
        try:
            remove()
        except (OSError, Unavailable, DatabaseError):
            log.exception("%s is erased, but its file could not be removed", what)

    transaction.on_commit(removed)


def places_of(subject: str, tenant_id: UUID) -> list[ObjectRef]:
    """Everything that any app keeps about a data subject's key."""
    return [place for kind in sorted(_find) for place in _find[kind](subject, tenant_id)]
