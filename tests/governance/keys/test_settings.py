"""What the environment may say about keys and file storage, and what it is told when that cannot work."""

from __future__ import annotations

import pytest

from openclaw_site.config import Config, ConfigError

TOKEN = {
    "OPENCLAW_KEY_PROVIDER": "pkcs11",
    "OPENCLAW_PKCS11_MODULE": "/opt/vendor/lib.so",
    "OPENCLAW_PKCS11_TOKEN": "openclaw",
    "OPENCLAW_PKCS11_PIN_FILE": "/run/secrets/pin",
}


def test_files_on_this_machine_are_the_default():
    config = Config.from_environ({})
    assert (config.key_provider, config.pkcs11, config.storage, config.s3) == (
        "software",
        None,
        "local",
        None,
    )


def test_a_token_by_label_or_by_slot():
    by_label = Config.from_environ(TOKEN).pkcs11
    assert (by_label.token, by_label.slot, str(by_label.module)) == ("openclaw", None, "/opt/vendor/lib.so")
    by_slot = Config.from_environ(TOKEN | {"OPENCLAW_PKCS11_TOKEN": "", "OPENCLAW_PKCS11_SLOT": "0"}).pkcs11
    assert (by_slot.token, by_slot.slot) == ("", 0)


def test_a_token_may_stay_readable_after_going_back_to_files():
    config = Config.from_environ(TOKEN | {"OPENCLAW_KEY_PROVIDER": "software"})
    assert (config.key_provider, config.pkcs11.token) == ("software", "openclaw")


@pytest.mark.parametrize(
    "change",
    [
        {"OPENCLAW_KEY_PROVIDER": "paper"},
        {"OPENCLAW_PKCS11_MODULE": ""},
        {"OPENCLAW_PKCS11_PIN_FILE": ""},
        {"OPENCLAW_PKCS11_TOKEN": ""},
        {"OPENCLAW_PKCS11_SLOT": "first"},
    ],
)
def test_what_cannot_work_is_told_by_name(change):
    with pytest.raises(ConfigError, match=r"OPENCLAW_(KEY_PROVIDER|PKCS11_SLOT)"):
        Config.from_environ(TOKEN | change)


def test_a_bucket_with_its_credentials_in_a_file(tmp_path):
    file = tmp_path / "credentials"
    file.write_text("the-id\nthe-secret\n")
    environ = {
        "OPENCLAW_STORAGE": "s3",
        "OPENCLAW_S3_BUCKET": "sealed",
        "OPENCLAW_S3_ENDPOINT": "https://s3.example",
        "OPENCLAW_S3_CREDENTIALS_FILE": str(file),
    }
    options = Config.from_environ(environ).s3.options
    assert (options["bucket_name"], options["access_key"], options["secret_key"]) == (
        "sealed",
        "the-id",
        "the-secret",
    )
    assert options["addressing_style"] == "path"
    file.write_text("only one word")
    with pytest.raises(ConfigError, match="CREDENTIALS_FILE"):
        _ = Config.from_environ(environ).s3.options
    with pytest.raises(ConfigError, match="BUCKET"):
        Config.from_environ({"OPENCLAW_STORAGE": "s3"})
    assert Config.from_environ({"OPENCLAW_STORAGE": "s3", "OPENCLAW_S3_BUCKET": "b"}).s3.options == {
        "bucket_name": "b",
        "region_name": None,
    }
