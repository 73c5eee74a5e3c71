"""What is written as the last statement of a transaction, and not before: Django has no hook before the commit.

The database backend (`governance.tenants.postgresql`) calls what is in `connection.held`. Savepoints hold as for rows:
what was held in one that is rolled back is dropped.
"""

from __future__ import annotations

from typing import Protocol


class Held(Protocol):
    """What one connection's open transaction has not written yet."""

    def write(self) -> None:
        """Write all of it now, in the open transaction. What it raises, rolls the transaction back."""

    def drop(self, savepoint: str | None) -> None:
        """Forget what was held since a savepoint; without one everything, for the transaction is over."""
