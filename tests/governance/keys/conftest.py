"""A SoftHSM token of the test's own. Without SoftHSM these tests fail: what is not run is not known to work."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from governance.keys.providers import PKCS11Provider, SoftwareKeyProvider, TokenAddress

PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


@dataclass(frozen=True)
class SoftToken:
    """A token whose folder can be taken away, as one pulls a device."""

    folder: Path
    address: TokenAddress

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    def remove(self) -> None:
        self.tokens.rename(self.folder / "away")

    def restore(self) -> None:
        (self.folder / "away").rename(self.tokens)

    def provider(self, files: Path | None = None) -> PKCS11Provider:
        return PKCS11Provider(self.address, SoftwareKeyProvider(files or self.folder / "files"))


@pytest.fixture
def make_token(tmp_path_factory, monkeypatch) -> Callable[[], SoftToken]:
    """A factory of tokens; the latest one is the one SoftHSM sees."""

    def make() -> SoftToken:
        module = next((Path(place) for place in PLACES if Path(place).exists()), None)
        assert module, "SoftHSM is not installed: apt-get install softhsm2"
        folder = tmp_path_factory.mktemp("hsm")
        (folder / "tokens").mkdir()
        config = folder / "softhsm2.conf"
        config.write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
        monkeypatch.setenv("SOFTHSM2_CONF", str(config))
        label, pin = f"token-{secrets.token_hex(4)}", secrets.token_hex(8)
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin, "--so-pin", pin],
            check=True,
            capture_output=True,
        )
        pin_file = folder / "pin"
        pin_file.write_text(pin + "\n")
        pin_file.chmod(0o600)
        return SoftToken(folder, TokenAddress(module=module, pin_file=pin_file, token=label))

    return make


@pytest.fixture
def token(make_token) -> SoftToken:
    """A fresh token."""
    return make_token()


@pytest.fixture
def token_in_use(token, settings) -> SoftToken:
    """A fresh token that the site's settings name."""
    settings.OPENCLAW_KEY_PROVIDER = "pkcs11"
    settings.OPENCLAW_PKCS11 = {
        "module": token.address.module,
        "pin_file": token.address.pin_file,
        "token": token.address.token,
        "slot": None,
    }
    return token


@pytest.fixture(autouse=True)
def forgetful():
    """Nothing is remembered from one test to the next."""
    from governance.keys.incidents import incidents
    from governance.keys.memory import memory

    memory.forget()
    incidents.begin()
    yield
    memory.forget()


@pytest.fixture(scope="module")
def s3():
    """The options of a bucket in moto's server, a stand-in that speaks S3 over HTTP."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3", endpoint_url=address, region_name="eu-1", aws_access_key_id="id", aws_secret_access_key="secret"
    )
    name = f"sealed-{secrets.token_hex(6)}"  # every server of a process has the same buckets
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-1"})
    yield {
        "bucket_name": name,
        "endpoint_url": address,
        "region_name": "eu-1",
        "addressing_style": "path",
        "access_key": "id",
        "secret_key": "secret",
    }
    client.close()
    server.stop()
