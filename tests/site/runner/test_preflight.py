"""Obstacles before the start: each is a sentence that says what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from openclaw_site.config import Config
from openclaw_site.runner import preflight
from openclaw_site.runner.errors import RunnerError


def test_this_machine_can_run_the_site(tmp_path: Path, free_port: int) -> None:
    preflight.check_machine(Config(var=tmp_path, port=free_port))


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RunnerError, match=f"Port {port} on 127.0.0.1 is in use") as refusal:
            preflight.check_port(Config(var=tmp_path, port=port))
    assert f"OPENCLAW_PORT={port + 1}" in refusal.value.hint


def test_an_address_that_is_not_ours(tmp_path: Path, free_port: int) -> None:
    with pytest.raises(RunnerError, match=r"cannot listen on 192\.0\.2\.1"):
        preflight.check_port(Config(var=tmp_path, host="192.0.2.1", port=free_port))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunnerError, match="cannot be written") as refusal:
        preflight.check_state_folder(Config(var=tmp_path / "file" / "var"))
    assert "OPENCLAW_VAR" in refusal.value.hint


def test_a_disk_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "LEAST_FREE_BYTES", 10**18)
    with pytest.raises(RunnerError, match="nearly full"):
        preflight.check_disk(Config(var=tmp_path))
