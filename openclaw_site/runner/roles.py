"""The two database roles: the owner makes tables, the app role uses them and can bypass nothing."""

from __future__ import annotations

import psycopg
from psycopg import sql


def ensure_role(connection: psycopg.Connection[tuple[object, ...]], name: str, password: str) -> None:
    """Create the log-in role `name`, or give it this password again; it never gets rights of its own."""
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
    # A new role can log in and nothing else: no superuser, no BYPASSRLS, no databases or roles of its own.
    statement = "ALTER ROLE {} PASSWORD {}" if known else "CREATE ROLE {} LOGIN NOINHERIT PASSWORD {}"
    connection.execute(sql.SQL(statement).format(sql.Identifier(name), sql.Literal(password)))


def grant_app_rights(connection: psycopg.Connection[tuple[object, ...]], *, owner: str, app: str) -> None:
    """Let `app` read and write rows in the tables that `owner` has made or will make in this database, no more.

    `connection` must be the owner (or a superuser) in the database concerned.
    """
    names = {
        "owner": sql.Identifier(owner),
        "app": sql.Identifier(app),
        "database": sql.Identifier(connection.info.dbname),
    }
    for statement in (
        "REVOKE ALL ON DATABASE {database} FROM PUBLIC",
        "GRANT CONNECT ON DATABASE {database} TO {app}",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "GRANT USAGE ON SCHEMA public TO {app}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public"
        " GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {app}",
    ):
        connection.execute(sql.SQL(statement).format(**names))
