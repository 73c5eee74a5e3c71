"""What is known about a resource beyond its type and owner: label, subjects, region. Told by the data catalogue.

The catalogue stands above this app, so it hands its look-up in here. Without one a resource has no facts, and a
policy that asks for a label must say `resource has label` first, which Cedar's validation enforces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from governance.refs import ObjectRef

# Facts by the names of the Cedar schema's Resource: label, subjects, region, purpose, owner.
Facts = Mapping[str, Any]
Source = Callable[[ObjectRef, UUID | None], Facts]

_source: Source | None = None


def register(source: Source) -> None:
    """Make `source` the one that is asked."""
    global _source
    _source = source


def facts_of(target: ObjectRef | None, tenant_id: UUID | None) -> Facts:
    """The facts of a resource; none where nobody knows any."""
    return _source(target, tenant_id) if _source is not None and target is not None and target.id else {}
