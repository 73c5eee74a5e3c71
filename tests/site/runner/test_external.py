"""Services named by the environment: roles are made or verified, and every obstacle is a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from openclaw_site.config import Config
from openclaw_site.runner.errors import RunnerError
from openclaw_site.runner.external import check_redis, prepare_database
from openclaw_site.runner.postgres import EmbeddedPostgres
from openclaw_site.runner.valkey import EmbeddedValkey

PASSWORD = "of-this-test"


@pytest.fixture
def server(postgres: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """A server with a company's own roles: `chief` may create roles, `clerk` owns its database alone."""
    postgres.start()
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as connection:
        for role, right in (("chief", "CREATEROLE"), ("clerk", "NOCREATEROLE"), ("plain", "NOCREATEROLE")):
            connection.execute(f"CREATE ROLE {role} LOGIN {right} PASSWORD '{PASSWORD}'")
        for database, owner in (("claims", "chief"), ("records", "clerk")):
            connection.execute(f"CREATE DATABASE {database} OWNER {owner}")
    yield postgres


def url(server: EmbeddedPostgres, role: str, database: str, password: str = PASSWORD) -> str:
    return f"postgresql://{role}:{password}@/{database}?host={server.sockets}&port=5432"


def test_an_owner_that_may_create_roles_gets_an_app_role_made(server: EmbeddedPostgres, folder: Path) -> None:
    config = Config(var=folder, database_url=url(server, "chief", "claims"))

    app_url, owner_url = prepare_database(config)

    assert prepare_database(config) == (app_url, owner_url), "a second start finds the same role"
    assert owner_url == config.database_url
    with psycopg.connect(owner_url) as owner:
        owner.execute("CREATE TABLE note (text text)")
    with psycopg.connect(app_url) as app:
        assert app.info.user == "claims_app"
        app.execute("INSERT INTO note VALUES ('x')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("DROP TABLE note")


def test_an_owner_without_that_right_is_told_what_to_do(server: EmbeddedPostgres, folder: Path) -> None:
    with pytest.raises(RunnerError, match="may not create the role records_app") as refusal:
        prepare_database(Config(var=folder, database_url=url(server, "clerk", "records")))
    assert "ALTER ROLE clerk CREATEROLE" in refusal.value.hint


def test_owner_and_app_role_of_the_company_are_used_as_they_are(
    server: EmbeddedPostgres, folder: Path
) -> None:
    app, owner = url(server, "plain", "records"), url(server, "clerk", "records")
    assert prepare_database(Config(var=folder, database_url=app, database_owner_url=owner)) == (app, owner)
    with psycopg.connect(owner) as connection:
        connection.execute("CREATE TABLE note (id serial, text text)")
    with psycopg.connect(app) as connection:
        connection.execute("INSERT INTO note (text) VALUES ('x')")


def test_a_role_that_bypasses_row_security_is_refused(server: EmbeddedPostgres, folder: Path) -> None:
    too_strong = server.superuser_dsn.replace("/postgres?", "/records?")
    with pytest.raises(RunnerError, match="can bypass row-level security"):
        prepare_database(
            Config(var=folder, database_url=too_strong, database_owner_url=url(server, "clerk", "records"))
        )


@pytest.mark.parametrize(
    ("role", "database", "password", "sentence"),
    [
        ("clerk", "records", "wrong", "cannot be reached"),
        ("clerk", "nowhere", PASSWORD, "cannot be reached"),
        ("plain", "records", PASSWORD, "does not own the database records"),
    ],
)
def test_what_cannot_work_is_said(
    server: EmbeddedPostgres, folder: Path, role: str, database: str, password: str, sentence: str
) -> None:
    with pytest.raises(RunnerError, match=sentence):
        prepare_database(Config(var=folder, database_url=url(server, role, database, password)))


def test_redis_obstacles_are_said(valkey: EmbeddedValkey, free_port: int) -> None:
    with pytest.raises(RunnerError, match="does not answer"):
        check_redis(f"redis://127.0.0.1:{free_port}/0")
    valkey.start()
    check_redis(valkey.url)
    with pytest.raises(RunnerError, match="refuses the log-in"):
        check_redis(f"unix://:wrong@{valkey.socket}")
