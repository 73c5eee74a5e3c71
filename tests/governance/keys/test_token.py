"""A PKCS#11 token that is pulled, put back, shared by processes, or refuses its PIN. SoftHSM, for real."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pkcs11
import pytest
from pkcs11 import Attribute, ObjectClass
from pkcs11.exceptions import AttributeSensitive
from tuf.api.metadata import Metadata, Root

from governance.keys.errors import Altered, KeysUnavailable
from governance.keys.providers import SoftwareKeyProvider, TokenAddress
from governance.keys.providers.connection import PAUSE_S

pytestmark = pytest.mark.django_db
DATA_KEY = bytes(range(32))


@pytest.fixture
def provider(token):
    made = token.provider()
    made.create_wrapping_key("tenant-1")
    return made


def session_of(token):
    library = pkcs11.lib(str(token.address.module))
    library.reinitialize()
    found = library.get_token(token_label=token.address.token)
    return found.open(rw=True, user_pin=token.address.pin_file.read_text().strip())


def attempt(call):
    """The first answer after the pause that follows a failure."""
    time.sleep(PAUSE_S + 0.05)
    return call()


def test_keys_cannot_leave_the_token(token, provider):
    provider.signer("audit-1")
    session = session_of(token)
    wrapping = session.get_key(object_class=ObjectClass.SECRET_KEY, label="tenant-1")
    private = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label="audit-1")
    for key, secret in ((wrapping, Attribute.VALUE), (private, Attribute.VALUE)):
        assert (key[Attribute.SENSITIVE], key[Attribute.EXTRACTABLE], key[Attribute.TOKEN]) == (
            True,
            False,
            True,
        )
        with pytest.raises(AttributeSensitive):
            key[secret]
    assert wrapping[Attribute.VALUE_LEN] == 32


def test_a_token_that_goes_away_is_said_so_and_comes_back_by_itself(token, provider):
    wrapped = provider.wrap("tenant-1", DATA_KEY, b"")
    token.remove()
    with pytest.raises(KeysUnavailable) as refused:
        provider.unwrap("tenant-1", wrapped, b"")
    assert refused.value.status == 503
    assert "softhsm" not in (str(refused.value) + refused.value.detail).lower()
    status = provider.status()
    assert (status.ok, bool(status.detail)) == (False, True)
    token.restore()
    assert attempt(lambda: provider.unwrap("tenant-1", wrapped, b"")) == DATA_KEY
    assert provider.status().ok


def test_a_fault_of_a_vendors_token_is_no_altered_data(token, provider, monkeypatch):
    wrapped = provider.wrap("tenant-1", DATA_KEY, b"")
    bad = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    with pytest.raises(Altered):
        provider.unwrap("tenant-1", bad, b"")  # SoftHSM has no better word than a general error
    facts = replace(provider._token.facts, manufacturer="A vendor")
    provider._token.facts = facts
    monkeypatch.setattr(provider._token, "_begin", lambda: None)
    with pytest.raises(KeysUnavailable, match="out of reach"):
        provider.unwrap("tenant-1", bad, b"")
    assert provider.unwrap("tenant-1", wrapped, b"") == DATA_KEY


def test_a_missing_token_is_no_reason_to_believe_that_a_key_was_destroyed(token, provider):
    token.remove()
    with pytest.raises(KeysUnavailable):
        provider.destroy_wrapping_key("tenant-1")
    token.restore()
    assert attempt(lambda: provider.wrap("tenant-1", DATA_KEY, b""))


def test_an_empty_slot_is_not_asked_again_and_again(token, provider):
    token.remove()
    token.tokens.mkdir()
    with pytest.raises(KeysUnavailable):
        provider.wrap("tenant-1", DATA_KEY, b"")
    token.tokens.rmdir()
    token.restore()
    with pytest.raises(KeysUnavailable, match="out of reach"):
        provider.wrap("tenant-1", DATA_KEY, b"")  # within the pause nothing is tried
    assert attempt(lambda: provider.wrap("tenant-1", DATA_KEY, b""))


def test_a_refused_pin_is_tried_once_and_a_new_one_read_from_its_file(token, provider):
    right = token.address.pin_file.read_text()
    token.address.pin_file.write_text("not the pin")
    other = token.provider()
    for _ in range(5):
        with pytest.raises(KeysUnavailable) as refused:
            attempt(lambda: other.wrap("tenant-1", DATA_KEY, b""))
        assert "PIN" in refused.value.detail
        assert "not the pin" not in refused.value.detail
    token.address.pin_file.write_text(right)
    assert attempt(lambda: other.wrap("tenant-1", DATA_KEY, b""))


@pytest.mark.parametrize("missing", ["module", "pin_file"])
def test_a_file_that_is_not_there_is_a_clear_state(token, missing, tmp_path):
    broken = {
        "module": token.address.module,
        "pin_file": token.address.pin_file,
        "token": token.address.token,
    }
    address = TokenAddress(**(broken | {missing: tmp_path / "none"}))
    from governance.keys.providers import PKCS11Provider

    status = PKCS11Provider(address, SoftwareKeyProvider(tmp_path)).status()
    assert not status.ok
    assert str(tmp_path) not in status.detail


def test_a_forked_process_has_a_session_of_its_own(provider):
    wrapped = provider.wrap("tenant-1", DATA_KEY, b"")
    results = []
    for _ in range(2):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                answers = {provider.unwrap("tenant-1", wrapped, b"") for _ in range(20)}
                os.write(writer, b"ok" if answers == {DATA_KEY} else b"wrong")
            finally:
                os._exit(0)
        os.close(writer)
        assert provider.unwrap("tenant-1", wrapped, b"") == DATA_KEY
        results.append((child, reader))
    for child, reader in results:
        assert os.read(reader, 10) == b"ok"
        os.close(reader)
        os.waitpid(child, 0)
    assert provider.unwrap("tenant-1", wrapped, b"") == DATA_KEY


def test_threads_take_turns(provider):
    from concurrent.futures import ThreadPoolExecutor

    wrapped = provider.wrap("tenant-1", DATA_KEY, b"")
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(lambda _: provider.unwrap("tenant-1", wrapped, b""), range(200)))
    assert answers == {DATA_KEY}


def test_the_update_framework_believes_its_signatures(token):
    provider = token.provider()
    root = Root(consistent_snapshot=True)
    root.add_key(provider.public_key("tuf-root"), "root")
    metadata = Metadata(root)
    metadata.sign(provider.signer("tuf-root"))
    metadata.verify_delegate("root", metadata)


def test_repository_keys_from_before_the_token_stay_in_use(token, tmp_path):
    files = SoftwareKeyProvider(tmp_path / "keys")
    before = files.public_key("tuf-root")
    provider = token.provider(tmp_path / "keys")
    assert provider.signer("tuf-root").public_key.keyid == before.keyid
    assert any("tuf-root" in warning for warning in provider.status().warnings)
    assert provider.signer("tuf-targets").public_key.scheme == "ecdsa-sha2-nistp256"
