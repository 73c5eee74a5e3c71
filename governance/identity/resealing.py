"""Secrets of second factors, which allauth keeps inside JSON, as a collection that re-encryption can walk."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.db.models import QuerySet

from governance.audit.services import platform_tenant_id
from governance.identity.mfa import PURPOSE, VERSION
from governance.keys.envelopes import resealed
from governance.keys.errors import NotSealed

# What allauth encrypts: of an authenticator app, of recovery codes, and of recovery codes taken over from elsewhere.
SECRETS = ("secret", "seed", "migrated_codes")


class SecondFactors:
    """Sealed with the platform's keys, because a person has no tenant."""

    name = "identity.second-factors"
    purpose = PURPOSE

    def count(self, tenant_id: UUID) -> int:
        """How many factors have a secret."""
        return self._rows(tenant_id).count()

    def keys(self, tenant_id: UUID, *, after: str, limit: int) -> Sequence[str]:
        """The next primary keys."""
        rows = self._rows(tenant_id).order_by("pk")
        if after:
            rows = rows.filter(pk__gt=int(after))
        return [str(pk) for pk in rows.values_list("pk", flat=True)[:limit]]

    def rewrite(self, tenant_id: UUID, key: str) -> bool:
        """Seal one factor's secrets anew."""
        row = self._rows(tenant_id).select_for_update(of=("self",)).filter(pk=int(key)).first()
        if row is None:
            return False
        data = {
            name: _anew(value, tenant_id) if name in SECRETS else value for name, value in row.data.items()
        }
        if data == row.data:
            return False
        Authenticator.objects.filter(pk=row.pk).update(data=data)
        return True

    def _rows(self, tenant_id: UUID) -> QuerySet[Authenticator]:
        if tenant_id != platform_tenant_id():
            return Authenticator.objects.none()
        return Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN)  # has a public key only


def _anew(value: Any, tenant_id: UUID) -> Any:
    if isinstance(value, list):
        return [_anew(one, tenant_id) for one in value]
    version, owner, text = ([*str(value).split("."), "", ""])[:3]
    if version != VERSION:
        raise NotSealed
    try:
        blob = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise NotSealed from error
    new = resealed(blob, tenant_id=tenant_id, purpose=PURPOSE, object_id=owner)
    return value if new is None else f"{VERSION}.{owner}.{base64.b64encode(new).decode()}"
