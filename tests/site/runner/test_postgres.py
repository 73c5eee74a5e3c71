"""The embedded PostgreSQL: survives restarts and crashes, trusts nobody, and gives the app role rows alone."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
from pathlib import Path

import psutil
import psycopg
import pytest

from openclaw_site.runner.errors import RunnerError
from openclaw_site.runner.postgres import APP, EmbeddedPostgres
from openclaw_site.secret_files import SecretFiles


def test_data_is_kept_over_a_restart(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    with psycopg.connect(postgres.owner_url()) as owner:
        owner.execute("CREATE TABLE note (text text)")
    with psycopg.connect(postgres.app_url()) as app:
        app.execute("INSERT INTO note VALUES ('kept')")
    postgres.stop()
    assert not postgres.child.alive

    postgres.start()

    with psycopg.connect(postgres.app_url()) as app:
        assert app.execute("SELECT text FROM note").fetchall() == [("kept",)]


def test_stop_leaves_no_process(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    server = psutil.Process(postgres.child.pid)
    family = [server, *server.children(recursive=True)]

    postgres.stop()

    _gone, alive = psutil.wait_procs(family, timeout=5)
    assert not alive


def test_the_app_role_is_bound_by_row_security_and_owns_nothing(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    with psycopg.connect(postgres.app_url()) as app:
        rights = app.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolinherit, rolreplication"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert rights == (False,) * 6
        memberships = app.execute("SELECT count(*) FROM pg_auth_members WHERE member = %s::regrole", [APP])
        assert memberships.fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("CREATE TABLE mine (id int)")


def test_a_policy_of_the_owner_hides_rows_from_the_app_role(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    with psycopg.connect(postgres.owner_url()) as owner:
        owner.execute("CREATE TABLE t (tenant text)")
        owner.execute("INSERT INTO t VALUES ('a'), ('b')")
        owner.execute("ALTER TABLE t ENABLE ROW LEVEL SECURITY")
        owner.execute("CREATE POLICY p ON t USING (tenant = current_setting('app.tenant', true))")
    with psycopg.connect(postgres.app_url()) as app:
        assert app.execute("SELECT * FROM t").fetchall() == []
        app.execute("SET LOCAL app.tenant = 'a'")
        assert app.execute("SELECT * FROM t").fetchall() == [("a",)]


def test_a_wrong_password_is_refused(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    password = postgres.secrets.get_or_create("postgres-app")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.app_url().replace(password, "guess"))


def test_nothing_listens_on_tcp_and_the_socket_is_private(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    with psycopg.connect(postgres.superuser_dsn) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    assert stat.S_IMODE(postgres.sockets.stat().st_mode) == 0o700
    secret = postgres.secrets.path("postgres-app")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700


def test_it_starts_after_a_crash_though_its_old_process_id_is_in_use_again(
    postgres: EmbeddedPostgres,
) -> None:
    postgres.start()
    lock = postgres.data_dir / "postmaster.pid"
    lines = lock.read_text().splitlines()
    os.kill(postgres.child.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(postgres.child.pid)], timeout=5)
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")

    postgres.start()

    with psycopg.connect(postgres.app_url()) as app:
        assert app.execute("SELECT 1").fetchone() == (1,)


def test_a_server_left_over_from_a_killed_runner_is_stopped_first(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    left_over = psutil.Process(postgres.child.pid)
    again = EmbeddedPostgres(postgres.data_dir, postgres.secrets, durable=False)
    try:
        again.start()
        assert postgres.child.exit_code == 0, "the old server was shut down, not killed"
        assert again.child.pid != left_over.pid
    finally:
        again.stop()


def test_a_deep_folder_gets_a_short_private_socket_folder() -> None:
    with tempfile.TemporaryDirectory() as base:
        deep = Path(base) / ("deep/" * 25)
        server = EmbeddedPostgres(deep / "pg", SecretFiles(deep / "secrets"), durable=False)
        try:
            server.start()
            assert len(f"{server.sockets}/.s.PGSQL.5432") <= 107
            assert stat.S_IMODE(server.sockets.stat().st_mode) == 0o700
            with psycopg.connect(server.app_url()) as app:
                assert app.execute("SELECT 1").fetchone() == (1,)
        finally:
            server.stop()


def test_a_folder_with_other_files_is_not_touched(postgres: EmbeddedPostgres) -> None:
    postgres.data_dir.mkdir(parents=True)
    (postgres.data_dir / "thesis.txt").write_text("mine")
    with pytest.raises(RunnerError, match="is no PostgreSQL data folder"):
        postgres.start()
    assert (postgres.data_dir / "thesis.txt").read_text() == "mine"


def test_lost_secrets_are_said_in_a_sentence(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    for secret in postgres.secrets.folder.iterdir():
        secret.unlink()
    with pytest.raises(RunnerError, match="does not accept the password"):
        postgres.start()
    assert not postgres.child.alive
