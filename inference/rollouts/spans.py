"""A time of an endpoint, as the figures of it are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when, of which endpoint."""

    endpoint_id: UUID
    since: datetime
    until: datetime
