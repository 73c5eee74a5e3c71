"""Both places where keys live keep the same promises."""

from __future__ import annotations

import pytest

from governance.keys.errors import Altered, UnknownKey
from governance.keys.providers import SoftwareKeyProvider

pytestmark = pytest.mark.django_db
DATA_KEY = bytes(range(32))


@pytest.fixture(params=["software", "pkcs11"])
def provider(request, tmp_path):
    if request.param == "software":
        return SoftwareKeyProvider(tmp_path / "keys")
    return request.getfixturevalue("token").provider()


def test_what_is_wrapped_comes_back_and_never_looks_the_same_twice(provider):
    provider.create_wrapping_key("tenant-1")
    one, two = (provider.wrap("tenant-1", DATA_KEY, b"tenant 1") for _ in range(2))
    assert one != two
    assert DATA_KEY not in one
    assert provider.unwrap("tenant-1", one, b"tenant 1") == DATA_KEY
    assert provider.unwrap("tenant-1", two, b"tenant 1") == DATA_KEY


@pytest.mark.parametrize(
    "spoil",
    [
        lambda w: bytes([w[0] ^ 1]) + w[1:],
        lambda w: w[:20] + bytes([w[20] ^ 128]) + w[21:],
        lambda w: w[:-1] + bytes([w[-1] ^ 1]),
        lambda w: w[:-1],
        lambda w: w + b"\0",
        lambda w: b"",
    ],
    ids=["nonce", "ciphertext", "tag", "shorter", "longer", "empty"],
)
def test_every_change_is_noticed_and_the_key_works_after_it(provider, spoil):
    provider.create_wrapping_key("tenant-1")
    wrapped = provider.wrap("tenant-1", DATA_KEY, b"tenant 1")
    with pytest.raises(Altered):
        provider.unwrap("tenant-1", spoil(wrapped), b"tenant 1")
    with pytest.raises(Altered):
        provider.unwrap("tenant-1", wrapped, b"tenant 2")
    assert provider.unwrap("tenant-1", wrapped, b"tenant 1") == DATA_KEY


def test_keys_are_made_once_and_by_name(provider):
    provider.create_wrapping_key("tenant-1")
    provider.create_wrapping_key("tenant-2")
    wrapped = provider.wrap("tenant-1", DATA_KEY, b"")
    with pytest.raises(Altered):
        provider.unwrap("tenant-2", wrapped, b"")
    with pytest.raises(ValueError, match="already"):
        provider.create_wrapping_key("tenant-1")
    with pytest.raises(UnknownKey):
        provider.unwrap("tenant-3", wrapped, b"")
    assert provider.unwrap("tenant-1", wrapped, b"") == DATA_KEY


def test_a_destroyed_key_is_gone(provider):
    provider.create_wrapping_key("tenant-1")
    wrapped = provider.wrap("tenant-1", DATA_KEY, b"")
    provider.destroy_wrapping_key("tenant-1")
    provider.destroy_wrapping_key("tenant-1")
    for use in (
        lambda: provider.unwrap("tenant-1", wrapped, b""),
        lambda: provider.wrap("tenant-1", b"x", b""),
    ):
        with pytest.raises(UnknownKey):
            use()


def test_signers_sign_and_others_verify(provider):
    key = provider.public_key("audit-1")
    signature = provider.signer("audit-1").sign(b"statement")
    key.verify_signature(signature, b"statement")
    with pytest.raises(Exception, match="verify"):
        key.verify_signature(signature, b"another statement")
    assert provider.signer("audit-1").public_key.keyid == key.keyid
    assert provider.public_key("audit-2").keyid != key.keyid


@pytest.mark.parametrize("name", ["", "../root", "Root", "a/b", ".hidden", "x" * 101])
def test_odd_names_are_refused(provider, name):
    for use in (
        provider.create_wrapping_key,
        provider.destroy_wrapping_key,
        provider.signer,
        lambda n: provider.wrap(n, b"x", b""),
    ):
        with pytest.raises(ValueError, match="no name"):
            use(name)


def test_its_state_says_what_it_is(provider):
    status = provider.status()
    assert status.ok
    assert provider.is_hardware is False, "SoftHSM is software too, and says so"
    assert bool(status.warnings) is (provider.name == "software")
    assert provider.label
