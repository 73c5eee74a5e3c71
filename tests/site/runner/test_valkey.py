"""The embedded Valkey: survives restarts, wants its password, never drops a key."""

from __future__ import annotations

import stat

import psutil
import pytest
import redis

from openclaw_site.runner.valkey import EmbeddedValkey


def test_data_is_kept_over_a_restart(valkey: EmbeddedValkey) -> None:
    valkey.start()
    with redis.Redis.from_url(valkey.url) as client:
        client.set("task", "queued")
    valkey.stop()
    assert not valkey.child.alive

    valkey.start()

    with redis.Redis.from_url(valkey.url) as client:
        assert client.get("task") == b"queued"


def test_a_wrong_or_missing_password_is_refused(valkey: EmbeddedValkey) -> None:
    valkey.start()
    for url in (f"unix://:guess@{valkey.socket}", f"unix://{valkey.socket}"):
        with redis.Redis.from_url(url) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_it_never_drops_keys_and_hides_its_password(valkey: EmbeddedValkey) -> None:
    valkey.start()
    with redis.Redis.from_url(valkey.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("port") == {"port": "0"}
    password = valkey.secrets.get_or_create("valkey")
    assert password not in " ".join(psutil.Process(valkey.child.pid).cmdline())
    assert stat.S_IMODE((valkey.data_dir / "valkey.conf").stat().st_mode) == 0o600
