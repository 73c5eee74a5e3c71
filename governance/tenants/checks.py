"""System check: the site must not run with a database role that row-level security does not bind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

ROLE_FACTS = """
    SELECT r.rolsuper, r.rolbypassrls,
           EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
                     AND pg_has_role(current_user, c.relowner, 'MEMBER'))
    FROM pg_roles r WHERE r.rolname = current_user
"""


@register(Tags.database)
def check_runtime_role(databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Refuse a role that is a superuser, has BYPASSRLS, or owns a table: it could see every tenant's rows."""
    if settings.DATABASE_IS_OWNER:
        return []
    problems: list[CheckMessage] = []
    for alias in databases or ():
        with connections[alias].cursor() as cursor:
            cursor.execute(ROLE_FACTS)
            superuser, bypass, owner = cursor.fetchone()
        if superuser or bypass or owner:
            why = "is a superuser" if superuser else "has BYPASSRLS" if bypass else "owns tables"
            problems.append(
                Error(
                    f"The database role of DATABASE_URL {why}, so row-level security would not isolate tenants.",
                    hint="Give DATABASE_URL a role that is NOSUPERUSER NOBYPASSRLS and owns nothing, and put the "
                    "owner into DATABASE_OWNER_URL; “openclaw migrate” uses that one.",
                    id="tenants.E001",
                )
            )
    return problems
