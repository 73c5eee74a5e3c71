"""Keys as files: made once, for the site's account alone."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from governance.keys.providers import SoftwareKeyProvider


def test_a_key_is_made_once_and_signs(tmp_path):
    provider = SoftwareKeyProvider(tmp_path / "keys")
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: provider.public_key("tuf-root"), range(16)))
    assert len({key.keyid for key in keys}) == 1
    signature = provider.signer("tuf-root").sign(b"statement")
    keys[0].verify_signature(signature, b"statement")
    assert provider.public_key("tuf-targets").keyid != keys[0].keyid


def test_files_are_for_the_site_alone(tmp_path):
    provider = SoftwareKeyProvider(tmp_path / "keys")
    provider.signer("tuf-root")
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    (file,) = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["", "../root", "Root", "a/b", ".hidden"])
def test_odd_names_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="no name"):
        SoftwareKeyProvider(tmp_path / "keys").signer(name)
