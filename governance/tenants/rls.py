"""Row-level security as a migration operation, so that a table and its policy arrive together."""

from __future__ import annotations

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

POLICY = "tenant_isolation"
READ_POLICY = "also_readable"


class TenantRowSecurity(Operation):
    """Force row-level security on a table: rows of the context's tenant only, all rows in platform scope.

    `read_also` is an extra SQL condition under which a row may be read (never written) by any tenant, for example a
    published catalogue entry. The scalar sub-selects make PostgreSQL evaluate the settings once per statement.
    """

    reversible = True
    reduces_to_sql = True

    def __init__(self, table: str, *, tenant_column: str = "tenant_id", read_also: str = "") -> None:
        self.table = table
        self.tenant_column = tenant_column
        self.read_also = read_also

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """The model state does not change."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        tenant = "(SELECT NULLIF(current_setting('openclaw.tenant', true), '')::uuid)"
        platform = "(SELECT current_setting('openclaw.scope', true) = 'platform')"
        condition = f"{self.tenant_column} = {tenant} OR {platform}"
        schema_editor.execute(f'ALTER TABLE "{self.table}" ENABLE ROW LEVEL SECURITY')
        schema_editor.execute(f'ALTER TABLE "{self.table}" FORCE ROW LEVEL SECURITY')
        schema_editor.execute(
            f'CREATE POLICY {POLICY} ON "{self.table}" USING ({condition}) WITH CHECK ({condition})'
        )
        if self.read_also:
            schema_editor.execute(
                f'CREATE POLICY {READ_POLICY} ON "{self.table}" FOR SELECT '
                f"USING ({tenant} IS NOT NULL AND ({self.read_also}))"
            )

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        schema_editor.execute(f'DROP POLICY IF EXISTS {READ_POLICY} ON "{self.table}"')
        schema_editor.execute(f'DROP POLICY IF EXISTS {POLICY} ON "{self.table}"')
        schema_editor.execute(f'ALTER TABLE "{self.table}" NO FORCE ROW LEVEL SECURITY')
        schema_editor.execute(f'ALTER TABLE "{self.table}" DISABLE ROW LEVEL SECURITY')

    def describe(self) -> str:
        return f"Force row-level security on {self.table}"
