"""Django's database sessions, kept by a digest of their key: what stands in the database opens nothing.

`SESSION_ENGINE` names this module. A session is ended by deleting its row, which needs the digest only; the next
request with its cookie is then nobody's.
"""

from __future__ import annotations

import hashlib
from typing import Any

from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone

STORED = 40  # hexadecimal digits that Django's column takes: 160 bits


def digest(key: str) -> str:
    """What a session is called everywhere outside its own cookie: the SHA-256 (hex) of its key."""
    return hashlib.sha256(key.encode()).hexdigest()


class SessionStore(DatabaseStore):
    """A session whose row is found by `digest(key)`."""

    def _get_session_from_db(self) -> Any:
        found = self._rows().first()
        if found is None:
            self._session_key = None
        return found

    async def _aget_session_from_db(self) -> Any:
        found = await self._rows().afirst()
        if found is None:
            self._session_key = None
        return found

    def exists(self, session_key: str) -> bool:
        return super().exists(stored(session_key) or "")

    async def aexists(self, session_key: str) -> bool:
        return bool(await super().aexists(stored(session_key) or ""))

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row = super().create_model_instance(data)
        row.session_key = digest(str(row.session_key))[:STORED]
        return row

    async def acreate_model_instance(self, data: dict[str, Any]) -> Any:
        row = await super().acreate_model_instance(data)
        row.session_key = digest(str(row.session_key))[:STORED]
        return row

    def delete(self, session_key: str | None = None) -> None:
        super().delete(stored(session_key or self.session_key))

    async def adelete(self, session_key: str | None = None) -> None:
        await super().adelete(stored(session_key or self.session_key))

    def _rows(self) -> Any:
        return self.model.objects.filter(
            session_key=stored(self.session_key), expire_date__gt=timezone.now()
        ).order_by()


def stored(key: str | None) -> str | None:
    """The value of Django's column for a key."""
    return digest(key)[:STORED] if key else None
