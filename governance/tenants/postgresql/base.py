"""Django's PostgreSQL backend, which also tells each transaction whose rows it may see.

This is the one place where the row-security context reaches the database, so no face can forget it: requests,
consumers, Celery tasks and commands all begin their transactions here.
"""

from __future__ import annotations

from django.db.backends.postgresql import base

from governance.tenants.context import NOTHING, SET_SCOPE, current_scope, scope_parameters


class DatabaseWrapper(base.DatabaseWrapper):
    """Sets the ambient `RowScope` with `SET LOCAL` whenever a transaction begins."""

    def set_autocommit(
        self, autocommit: bool, force_begin_transaction_with_broken_autocommit: bool = False
    ) -> None:
        super().set_autocommit(autocommit, force_begin_transaction_with_broken_autocommit)
        scope = current_scope()
        if not autocommit and scope != NOTHING:
            with self.connection.cursor() as cursor:
                cursor.execute(SET_SCOPE, scope_parameters(scope))
