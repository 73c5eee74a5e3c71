"""How an app tells where its sealed objects are, so that they can be written anew with the active key.

register(ColumnCollection("identity.factors", Factor, "secret", purpose="identity.factor"))
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from django.db import models

from governance.audit.services import platform_tenant_id
from governance.keys.columns import object_id_of
from governance.keys.envelopes import resealed


class SealedCollection(Protocol):
    """Sealed objects of one purpose. Everything is called in the tenant's row scope, inside a transaction."""

    @property
    def name(self) -> str:
        """What it is called in progress and messages."""

    @property
    def purpose(self) -> str:
        """What its data keys are for."""

    def count(self, tenant_id: UUID) -> int:
        """About how many objects there are."""

    def keys(self, tenant_id: UUID, *, after: str, limit: int) -> Sequence[str]:
        """The next keys after `after` ("" for the beginning), in an order that stays the same."""

    def rewrite(self, tenant_id: UUID, key: str) -> bool:
        """Write one object anew unless the active key seals it already; whether it was written. Gone is no error."""


@dataclass(frozen=True)
class ColumnCollection:
    """A column of sealed values: a BinaryField, or base64 in a TextField.

    `object_id(row, field)` is what a value is bound to; by default what `governance.keys.columns` binds it to.
    """

    name: str
    model: type[models.Model]
    field: str
    purpose: str
    object_id: Callable[[Any, str], str] = object_id_of

    def count(self, tenant_id: UUID) -> int:
        """How many rows there are."""
        return self._rows(tenant_id).count()

    def keys(self, tenant_id: UUID, *, after: str, limit: int) -> Sequence[str]:
        """The next primary keys."""
        rows = self._rows(tenant_id).order_by("pk")
        if after:
            rows = rows.filter(pk__gt=after)
        return [str(pk) for pk in rows.values_list("pk", flat=True)[:limit]]

    def rewrite(self, tenant_id: UUID, key: str) -> bool:
        """Write one row's column anew."""
        row = self._rows(tenant_id).select_for_update(of=("self",)).filter(pk=key).first()
        if row is None:
            return False
        value = getattr(row, self.field)
        is_text = isinstance(value, str)
        new = resealed(
            b64decode(value) if is_text else bytes(value),
            tenant_id=tenant_id,
            purpose=self.purpose,
            object_id=self.object_id(row, self.field),
        )
        if new is not None:
            stored = b64encode(new).decode() if is_text else new
            self._rows(tenant_id).filter(pk=key).update(**{self.field: stored})
        return new is not None

    def _rows(self, tenant_id: UUID) -> models.QuerySet[Any]:
        rows: models.QuerySet[Any] = self.model._default_manager.all()
        if any(field.name == "tenant" for field in self.model._meta.get_fields()):
            rows = rows.filter(tenant_id=tenant_id)
        elif tenant_id != platform_tenant_id():  # rows without a tenant are sealed with the platform's keys
            rows = rows.none()
        is_text = isinstance(self.model._meta.get_field(self.field), models.TextField)
        return rows.exclude(**{self.field: "" if is_text else b""}).exclude(**{self.field: None})


_collections: dict[str, SealedCollection] = {}


def register(collection: SealedCollection) -> None:
    """Include `collection` in every re-encryption. A second one of the same name is a programming error."""
    if _collections.setdefault(collection.name, collection) is not collection:
        raise ValueError(f"The collection {collection.name} is registered twice.")


def collections(purpose: str = "") -> list[SealedCollection]:
    """The registered collections by name; of one purpose, if given."""
    chosen = [c for c in _collections.values() if purpose in ("", c.purpose)]
    return sorted(chosen, key=lambda collection: collection.name)
