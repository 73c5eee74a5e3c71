"""How the ground speaks of things on higher floors: by type, id and digest, never by foreign key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


class _Row(Protocol):
    """What `ObjectRef.of` needs of a Django model instance."""

    pk: UUID

    class _Meta(Protocol):
        label_lower: str

    _meta: _Meta


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """A pointer to any object: `type` is `app.model`, `digest` (sha256, hex) pins exact content where it matters."""

    type: str
    id: str
    digest: str = ""
    label: str = ""

    @classmethod
    def of(cls, row: object, *, digest: str = "") -> ObjectRef:
        """The reference to a saved model instance."""
        meta = row._meta  # type: ignore[attr-defined]
        return cls(type=meta.label_lower, id=str(row.pk), digest=digest, label=str(row)[:200])  # type: ignore[attr-defined]
