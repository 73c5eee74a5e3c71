"""Django's PostgreSQL backend, which also tells each transaction whose rows it may see.

This is the one place where the row-security context reaches the database, so no face can forget it: requests,
consumers, Celery tasks and commands all begin their transactions here. It is also where they end, so what belongs to a
transaction and is written last (`governance.tenants.holding`) is written here, before the commit.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base

from governance.tenants.context import NOTHING, SET_SCOPE, current_scope, scope_parameters
from governance.tenants.holding import Held


class DatabaseWrapper(base.DatabaseWrapper):
    """Sets the ambient `RowScope` with `SET LOCAL` when a transaction begins, and writes what is held at its end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.held: list[Held] = []

    def set_autocommit(
        self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False
    ) -> None:
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
        scope = current_scope()
        if not autocommit and scope != NOTHING:
            with self.connection.cursor() as cursor:
                cursor.execute(SET_SCOPE, scope_parameters(scope))

    def commit(self) -> None:
        """Write what is held, then commit; where that cannot be written, roll everything back and raise."""
        if self.held:
            self.in_atomic_block = True  # as it was until now: this is the transaction's last statement
            try:
                for held in list(self.held):
                    held.write()
            except BaseException:
                self.in_atomic_block = False
                self.rollback()
                raise
            self.in_atomic_block = False
        super().commit()
        self._drop(None)

    def rollback(self) -> None:
        """What is held goes with the transaction."""
        self._drop(None)
        super().rollback()

    def savepoint_rollback(self, sid: str) -> None:
        """What was held since the savepoint goes with it."""
        super().savepoint_rollback(sid)
        self._drop(sid)

    def close(self) -> None:
        """What is held goes with the connection."""
        self._drop(None)
        super().close()

    def _drop(self, sid: str | None) -> None:
        for held in list(self.held):
            held.drop(sid)
