"""The environment, read once: defaults, spellings, and a sentence for what cannot work."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from openclaw_site.config import Config, ConfigError, celery_broker_url, django_database
from openclaw_site.secret_files import SecretFiles


def test_defaults_are_a_site_on_this_machine_alone() -> None:
    config = Config.from_environ({})
    assert (config.host, config.port, config.public_url) == ("127.0.0.1", 8000, "http://127.0.0.1:8000")
    assert config.var.name == "var"
    assert not config.https
    assert set(config.hosts) == {"127.0.0.1", "localhost", "[::1]"}


def test_the_port_is_part_of_the_default_address() -> None:
    assert Config.from_environ({"OPENCLAW_PORT": "9000"}).public_url == "http://127.0.0.1:9000"


def test_a_public_site_answers_to_its_own_name_alone() -> None:
    config = Config.from_environ(
        {"OPENCLAW_PUBLIC_URL": "https://claw.example.com/", "OPENCLAW_ALLOWED_HOSTS": "claw.internal, "}
    )
    assert config.https
    assert config.public_url == "https://claw.example.com"
    assert config.hosts == ("claw.example.com", "claw.internal")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("OPENCLAW_PUBLIC_URL", "http://claw.example.com", "plain http is only allowed for this machine"),
        ("OPENCLAW_PUBLIC_URL", "claw.example.com", "write it as https://"),
        ("OPENCLAW_PORT", "many", "whole number from 1 to 65535"),
        ("OPENCLAW_PORT", "70000", "whole number from 1 to 65535"),
        ("OPENCLAW_DATABASE_ROLE", "root", "'app' or 'owner'"),
        ("OPENCLAW_SECRET_KEY_FILE", "/nowhere/key", "no such file"),
    ],
)
def test_what_cannot_work_is_said_with_the_variable_that_is_wrong(
    name: str, value: str, sentence: str
) -> None:
    with pytest.raises(ConfigError, match=name) as refusal:
        Config.from_environ({name: value})
    assert sentence in str(refusal.value)


def test_a_database_url_becomes_djangos_entry() -> None:
    entry = django_database("postgresql://app:p%2Fw@db.internal:6432/claims?sslmode=verify-full")
    assert entry["NAME"] == "claims"
    assert entry["USER"] == "app"
    assert entry["PASSWORD"] == "p/w"
    assert (entry["HOST"], entry["PORT"]) == ("db.internal", "6432")
    assert entry["OPTIONS"] == {"sslmode": "verify-full"}
    with pytest.raises(ConfigError, match="DATABASE_URL cannot be read"):
        django_database("postgresql://app@db/claims?colour=red")


def test_celery_spells_a_unix_socket_its_own_way() -> None:
    assert (
        celery_broker_url("unix://:s%2Fx@/run/v.sock?db=2")
        == "redis+socket://:s%2Fx@/run/v.sock?virtual_host=2"
    )
    assert celery_broker_url("rediss://:x@cache:6380/0") == "rediss://:x@cache:6380/0"


def test_a_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    secrets = SecretFiles(tmp_path / "secrets")
    with ThreadPoolExecutor(8) as pool:
        seen = set(pool.map(lambda _: secrets.get_or_create("key"), range(32)))
    assert len(seen) == 1
    assert len(seen.pop()) >= 43, "32 random bytes"
    assert stat.S_IMODE(secrets.path("key").stat().st_mode) == 0o600
    assert stat.S_IMODE(secrets.folder.stat().st_mode) == 0o700
    assert [path.name for path in secrets.folder.iterdir()] == ["key"]


def test_a_secret_file_of_the_company_replaces_ours(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-the-vault\n")
    config = Config.from_environ(
        {"OPENCLAW_VAR": str(tmp_path), "OPENCLAW_SECRET_KEY_FILE": str(tmp_path / "key")}
    )
    assert config.secret_key == "from-the-vault"
    assert not config.secrets.folder.exists()
