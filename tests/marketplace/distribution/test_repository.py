"""The repository against the stock client: what it accepts, and every forgery that it refuses."""

import functools
import http.server
import json
import threading
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from tuf.api.exceptions import BadVersionNumberError, ExpiredMetadataError, LengthOrHashMismatchError
from tuf.api.metadata import Metadata
from tuf.ngclient import Updater

from governance.keys.providers import SoftwareKeyProvider
from marketplace.distribution.repository import Repository

TARGET = "plugins/acme/reader/1.0.0.zip"


@pytest.fixture
def repository(tmp_path):
    made = Repository(tmp_path / "tuf", SoftwareKeyProvider(tmp_path / "keys"))
    made.ensure()
    return made


@pytest.fixture
def url(repository):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=str(repository.folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def download(repository, url, tmp_path):
    """The stock client, with a memory of what it has seen: the same folder at every call."""

    def fetch(path=TARGET):
        trusted, targets = tmp_path / "client" / "metadata", tmp_path / "client" / "targets"
        targets.mkdir(parents=True, exist_ok=True)
        updater = Updater(
            str(trusted),
            f"{url}/metadata/",
            str(targets),
            f"{url}/targets/",
            bootstrap=repository.trusted_root(),
        )
        info = updater.get_targetinfo(path)
        return Path(updater.download_target(info)).read_bytes() if info else None

    return fetch


@pytest.fixture
def package(tmp_path):
    path = tmp_path / "package.zip"
    path.write_bytes(b"what was reviewed")
    return path


def test_a_published_package_is_fetched_with_its_signed_facts(repository, package, download):
    repository.add(TARGET, package, {"reviewers": 2})
    assert download() == b"what was reviewed"
    targets = json.loads((repository.metadata / "2.targets.json").read_text())
    assert targets["signed"]["targets"][TARGET]["custom"] == {"reviewers": 2}


def test_publishing_twice_changes_nothing(repository, package):
    repository.add(TARGET, package, {})
    before = sorted(path.name for path in repository.metadata.iterdir())
    repository.add(TARGET, package, {})
    assert sorted(path.name for path in repository.metadata.iterdir()) == before
    assert repository.holds(TARGET, sha256(b"what was reviewed").hexdigest())


def test_what_was_removed_is_gone(repository, package, download):
    repository.add(TARGET, package, {})
    repository.remove(TARGET)
    assert download() is None
    assert not [path for path in repository.targets.rglob("*") if path.is_file()]


def test_a_tampered_package_is_refused(repository, package, download):
    repository.add(TARGET, package, {})
    (stored,) = [path for path in repository.targets.rglob("*") if path.is_file()]
    stored.write_bytes(b"what was smuggled")
    with pytest.raises(LengthOrHashMismatchError):
        download()


def test_an_older_repository_is_refused(repository, package, download):
    before = (repository.metadata / "timestamp.json").read_bytes()
    repository.add(TARGET, package, {})
    download()
    (repository.metadata / "timestamp.json").write_bytes(before)
    with pytest.raises(BadVersionNumberError):
        download()


def test_an_expired_repository_is_refused_and_refresh_mends_it(repository, package, download):
    repository.add(TARGET, package, {})
    timestamp = Metadata.from_file(str(repository.metadata / "timestamp.json"))
    timestamp.signed.expires = datetime.now(UTC) - timedelta(hours=1)
    repository._write(timestamp, "timestamp", "timestamp.json")
    with pytest.raises(ExpiredMetadataError):
        download()
    assert repository.refresh()
    assert download() == b"what was reviewed"
    assert not repository.refresh()


def test_a_publication_interrupted_before_its_last_step_has_published_nothing(
    repository, package, download, monkeypatch
):
    def crash(self, *arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Repository, "_publish_timestamp", crash)
        with pytest.raises(KeyboardInterrupt):
            repository.add(TARGET, package, {})
    assert download() is None
    repository.add(TARGET, package, {})
    assert download() == b"what was reviewed"


def test_keys_are_private_files(repository, tmp_path):
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}
