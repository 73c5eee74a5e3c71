"""Services that are not ours: a PostgreSQL and a Valkey or Redis that DATABASE_URL and REDIS_URL name."""

from __future__ import annotations

from urllib.parse import quote

import psycopg
import redis
from psycopg.conninfo import conninfo_to_dict

from openclaw_site.config import Config
from openclaw_site.runner.errors import RunnerError
from openclaw_site.runner.roles import ensure_role, grant_app_rights

CONNECT_TIMEOUT_S = 10


def prepare_database(config: Config) -> tuple[str, str]:
    """Make the database named by DATABASE_URL ready; returns the URLs of (app role, owner role).

    With DATABASE_OWNER_URL, that role migrates and DATABASE_URL is the app role. Without it, DATABASE_URL is the
    owner, and the app role `<database>_app` is made with a random password. Raises RunnerError with a sentence when
    the server cannot be reached or a role has too few or too many rights.
    """
    if config.database_owner_url:
        with _connect(config.database_owner_url, "DATABASE_OWNER_URL") as owner:
            _require_owner(owner, "DATABASE_OWNER_URL")
            app = conninfo_to_dict(config.database_url).get("user")
            grant_app_rights(owner, owner=owner.info.user, app=str(app))
        _require_plain_role(config.database_url, "DATABASE_URL")
        return config.database_url, config.database_owner_url
    with _connect(config.database_url, "DATABASE_URL") as owner:
        _require_owner(owner, "DATABASE_URL")
        app_url = _make_app_role(owner, config)
    _require_plain_role(app_url, "DATABASE_URL")
    return app_url, config.database_url


def check_redis(url: str) -> None:
    """Ask the server named by REDIS_URL; raises RunnerError with a sentence when it does not answer."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S) as client:
            client.ping()
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
        raise RunnerError(
            f"The server named by REDIS_URL refuses the log-in: {_reason(error)}.",
            "Write the password into the URL: redis://:PASSWORD@HOST:6379/0.",
        ) from error
    except (redis.RedisError, ValueError) as error:
        raise RunnerError(
            f"The server named by REDIS_URL does not answer: {_reason(error)}.",
            "Start it, correct the URL (redis://HOST:6379/0), or leave REDIS_URL out to use the embedded Valkey.",
        ) from error


def _connect(url: str, variable: str) -> psycopg.Connection[tuple[object, ...]]:
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise RunnerError(
            f"The database named by {variable} cannot be reached: {_reason(error)}.",
            "Start the server, correct the URL (postgresql://USER:PASSWORD@HOST:5432/DATABASE), or leave the "
            "variable out to use the embedded PostgreSQL.",
        ) from error


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


def _require_owner(connection: psycopg.Connection[tuple[object, ...]], variable: str) -> None:
    row = connection.execute(
        "SELECT pg_has_role(current_user, datdba, 'MEMBER') FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    if row is None or not row[0]:
        role, database = connection.info.user, connection.info.dbname
        raise RunnerError(
            f"The role {role} of {variable} does not own the database {database}, so it cannot migrate it.",
            f"As an administrator of the server: ALTER DATABASE {database} OWNER TO {role}; or name the owner in "
            "DATABASE_OWNER_URL and a role without rights of its own in DATABASE_URL.",
        )


def _require_plain_role(url: str, variable: str) -> None:
    with _connect(url, variable) as connection:
        row = connection.execute(
            "SELECT rolsuper OR rolbypassrls, pg_has_role(current_user, d.datdba, 'MEMBER') AS owns"
            " FROM pg_roles, pg_database d WHERE rolname = current_user AND d.datname = current_database()"
        ).fetchone()
        role = connection.info.user
    if row is None or any(row):
        raise RunnerError(
            f"The role {role} of {variable} can bypass row-level security, so tenants would not be separated.",
            "Name a role that is no superuser, has NOBYPASSRLS and owns nothing.",
        )


def _make_app_role(owner: psycopg.Connection[tuple[object, ...]], config: Config) -> str:
    database = owner.info.dbname
    app = f"{database}_app"
    password = config.secrets.get_or_create("postgres-app")
    try:
        ensure_role(owner, app, password)
    except psycopg.errors.InsufficientPrivilege as error:
        raise RunnerError(
            f"The role {owner.info.user} may not create the role {app} that the site's processes use.",
            f"As an administrator of the server: ALTER ROLE {owner.info.user} CREATEROLE; or make the role yourself, "
            "name it in DATABASE_URL, and name the owner in DATABASE_OWNER_URL.",
        ) from error
    grant_app_rights(owner, owner=owner.info.user, app=app)
    parts = {key: value for key, value in conninfo_to_dict(config.database_url).items() if value is not None}
    for replaced in ("user", "password", "dbname"):
        parts.pop(replaced, None)
    query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in parts.items())
    return f"postgresql://{app}:{quote(password, safe='')}@/{quote(database, safe='')}?{query}"
