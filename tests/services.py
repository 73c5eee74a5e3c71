"""The real PostgreSQL and Valkey of one test run, in a folder of its own, started when the first test needs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
from psycopg import sql

from openclaw_site.runner.postgres import EmbeddedPostgres
from openclaw_site.runner.valkey import EmbeddedValkey
from openclaw_site.secret_files import SecretFiles

DATABASE = "test_openclaw"


class TestServices:
    """Addresses are known at once (the settings need them); servers start on demand and go with the run."""

    __test__ = False

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="openclaw-tests-"))
        secrets = SecretFiles(self.folder / "secrets")
        self.postgres = EmbeddedPostgres(self.folder / "pg", secrets, durable=False)
        self.valkey = EmbeddedValkey(self.folder / "valkey", secrets, durable=False)
        self._started: set[str] = set()

    def environment(self) -> dict[str, str]:
        """What a process of the site needs to use these services."""
        return {
            "OPENCLAW_VAR": str(self.folder),
            "DATABASE_URL": self.postgres.app_url(DATABASE),
            "REDIS_URL": self.valkey.url,
            "DJANGO_SETTINGS_MODULE": "openclaw_site.settings",
        }

    def start_valkey(self) -> None:
        """Start Valkey once."""
        if "valkey" not in self._started:
            self.valkey.start()
            self._started.add("valkey")

    def start_postgres(self) -> None:
        """Start PostgreSQL once, and migrate as the owner, exactly as an installation does."""
        if "postgres" in self._started:
            return
        self.postgres.start()
        self._started.add("postgres")
        self.postgres.create_database(DATABASE)
        as_owner = {"DATABASE_URL": self.postgres.owner_url(DATABASE), "OPENCLAW_DATABASE_ROLE": "owner"}
        subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "django", "migrate", "--verbosity=0"],
            env=os.environ | self.environment() | as_owner,
            check=True,
        )

    def truncate(self) -> None:
        """Empty every table but the migrations' own records, as the superuser: the app role may not, by design.

        Processes that outlive a test (the browser tests' site) are told that whatever they remember is doubtful.
        """
        from governance.access.broadcast import CHANNEL
        from governance.access.hub import EVERYTHING

        keep = ("django_migrations", "django_content_type", "auth_permission")
        dsn = self.postgres.superuser_dsn.replace("/postgres?", f"/{DATABASE}?")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            rows = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND NOT tablename = ANY(%s)",
                [list(keep)],
            ).fetchall()
            for (table,) in rows:
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
            connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, f"{EVERYTHING}:"])

    def stop(self) -> None:
        """Stop what was started and remove the folder."""
        if "valkey" in self._started:
            self.valkey.stop()
        if "postgres" in self._started:
            self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
