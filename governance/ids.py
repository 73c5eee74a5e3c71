"""Identifiers: time-ordered UUIDs, so that an index grows at its right edge (RFC 9562, version 7)."""

from uuid import UUID

from uuid_utils.compat import uuid7 as _uuid7

__all__ = ["uuid7"]


def uuid7() -> UUID:
    """A new UUID version 7 as a standard-library `UUID`."""
    return _uuid7()
