"""Services of this folder's own, so that stopping and breaking them disturbs no other test."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from openclaw_site.runner.postgres import EmbeddedPostgres
from openclaw_site.runner.valkey import EmbeddedValkey
from openclaw_site.secret_files import SecretFiles


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a path short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="oc-runner-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that is not started yet."""
    server = EmbeddedPostgres(folder / "pg", SecretFiles(folder / "secrets"), durable=False)
    yield server
    server.stop()


@pytest.fixture
def valkey(folder: Path) -> Iterator[EmbeddedValkey]:
    """A Valkey that is not started yet and keeps its data."""
    server = EmbeddedValkey(folder / "valkey", SecretFiles(folder / "secrets"))
    yield server
    server.stop()


@pytest.fixture
def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
