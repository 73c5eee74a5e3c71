"""Secrets in columns: sealed before the row is saved, opened by whoever needs them. Explicit, in two lines:

    row.secret = columns.sealed_text(row, "secret", value, purpose="access.client-secret")
    value = columns.opened_text(row, "secret", purpose="access.client-secret")

The column is a BinaryField. The sealed value is bound to table, row and column: copied elsewhere it does not open.
Rows with a tenant use its key, rows without one the platform's.
"""

from __future__ import annotations

import json
from typing import Any

from django.db import models

from governance.keys import envelopes


def object_id_of(row: models.Model, field: str) -> str:
    """What the value of a column is bound to. The row needs its primary key, saved or not."""
    if row.pk is None:
        raise ValueError("a row needs its primary key before a column of it can be sealed")
    return f"{row._meta.label_lower}.{field}:{row.pk}"


def sealed(row: models.Model, field: str, value: bytes, *, purpose: str) -> bytes:
    """The value sealed for this column of this row; assign it and save."""
    object_id = object_id_of(row, field)
    tenant_id = getattr(row, "tenant_id", None)
    if tenant_id is None:
        return envelopes.seal_for_platform(value, purpose=purpose, object_id=object_id)
    return envelopes.seal(value, tenant_id=tenant_id, purpose=purpose, object_id=object_id)


def opened(row: models.Model, field: str, *, purpose: str) -> bytes:
    """The value of a sealed column. Raises a subclass of Unsealable, KeyDestroyed or KeysUnavailable."""
    blob = bytes(getattr(row, field))
    object_id = object_id_of(row, field)
    tenant_id = getattr(row, "tenant_id", None)
    if tenant_id is None:
        return envelopes.unseal_for_platform(blob, purpose=purpose, object_id=object_id)
    return envelopes.unseal(blob, tenant_id=tenant_id, purpose=purpose, object_id=object_id)


def sealed_text(row: models.Model, field: str, value: str, *, purpose: str) -> bytes:
    """`sealed` for text."""
    return sealed(row, field, value.encode(), purpose=purpose)


def opened_text(row: models.Model, field: str, *, purpose: str) -> str:
    """`opened` for text."""
    return opened(row, field, purpose=purpose).decode()


def sealed_json(row: models.Model, field: str, value: Any, *, purpose: str) -> bytes:
    """`sealed` for anything that JSON can say."""
    return sealed(row, field, json.dumps(value, separators=(",", ":")).encode(), purpose=purpose)


def opened_json(row: models.Model, field: str, *, purpose: str) -> Any:
    """`opened` for what `sealed_json` made."""
    return json.loads(opened(row, field, purpose=purpose))
