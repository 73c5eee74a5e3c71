"""Files that are sealed before they leave the process: on disk, and in a bucket.

The bucket is moto's server, a stand-in that speaks S3 over HTTP; no real service is asked.
"""

from __future__ import annotations

import io
import stat
import uuid

import pytest
from django.core.files.base import ContentFile, File
from django.core.files.storage import storages

from governance.errors import Unavailable
from governance.keys import rewriting, services
from governance.keys import storage as storage_module
from governance.keys.errors import Altered, Truncated, UnknownKey, Unsealable
from governance.keys.memory import memory
from governance.keys.models import ReEncryption
from governance.keys.sealing import SealedFile
from governance.keys.storage import SealedStorage, StorageCollection
from governance.principals import Role
from governance.tenants.context import tenant_context

pytestmark = pytest.mark.django_db
CONTENT = bytes(range(256)) * 4096  # 1 MB, so that it has several chunks


@pytest.fixture(params=["local", "s3"])
def storage(request, settings, tmp_path, org):
    if request.param == "local":
        backend = {
            "BACKEND": "governance.keys.places.LocalPlace",
            "OPTIONS": {"location": tmp_path / "objects"},
        }
    else:
        backend = {"BACKEND": "governance.keys.bucket.BucketPlace", "OPTIONS": request.getfixturevalue("s3")}
    settings.STORAGES = settings.STORAGES | {"objects": backend}
    with tenant_context(org.id):
        yield SealedStorage(purpose="test.artifact")


def raw(storage, name):
    with storages["objects"].open_raw(name) as file:
        return file.read()


def test_a_file_comes_back_whole_and_in_ranges_and_lies_sealed(storage, org):
    name = storage.save(f"{org.id}/models/one.onnx", ContentFile(CONTENT))
    assert name == f"{org.id}/models/one.onnx"
    with storage.open(name) as file:
        assert file.read() == CONTENT
        file.seek(700_001)
        assert file.read(10) == CONTENT[700_001:700_011]
        assert file.size == len(CONTENT)
    assert storage.size(name) == len(CONTENT)
    assert storage.exists(name)
    assert CONTENT[:64] not in raw(storage, name)


def test_two_files_of_one_name_both_open(storage, org):
    names = [storage.save(f"{org.id}/same.bin", ContentFile(text)) for text in (b"one", b"two")]
    assert names[0] != names[1]
    opened = []
    for name in names:
        with storage.open(name) as file:
            opened.append(file.read())
    assert opened == [b"one", b"two"]


def test_a_file_moved_to_another_name_or_tenant_does_not_open(storage, org, other_org):
    name = storage.save(f"{org.id}/one.bin", ContentFile(CONTENT))
    moved = f"{org.id}/two.bin"
    storages["objects"].put(moved, [raw(storage, name)])
    with pytest.raises(Altered):
        storage.open(moved)
    theirs = f"{other_org.id}/one.bin"
    storages["objects"].put(theirs, [raw(storage, name)])
    with tenant_context(other_org.id), pytest.raises(UnknownKey):
        storage.open(theirs)
    with tenant_context(other_org.id), pytest.raises(UnknownKey):
        storage.open(name)


def test_cut_and_altered_files_are_refused(storage, org):
    name = storage.save(f"{org.id}/one.bin", ContentFile(CONTENT))
    whole = raw(storage, name)
    for bad, problem in ((whole[: 60 + 262_160], Truncated), (whole[:-5], Altered), (whole[:30], Truncated)):
        storages["objects"].put(name, [bad])
        with pytest.raises(problem):
            storage.open(name)
    flipped = bytearray(whole)
    flipped[100] ^= 1
    storages["objects"].put(name, [bytes(flipped)])
    with storage.open(name) as file, pytest.raises(Altered):
        file.read()


def test_a_file_that_is_written_anew_does_not_come_back_when_it_was_deleted_meanwhile(
    storage, org, principal_for, monkeypatch
):
    name = storage.save(f"{org.id}/one.bin", ContentFile(CONTENT))
    admin = principal_for(org, Role.TENANT_ADMIN)
    services.rotate_data_key(principal=admin, tenant_id=org.id, purpose="test.artifact")

    def meanwhile(change):
        real = storage_module.sealed_chunks

        def chunks(*args, **options):
            monkeypatch.setattr(storage_module, "sealed_chunks", real)
            change()
            yield from real(*args, **options)

        monkeypatch.setattr(storage_module, "sealed_chunks", chunks)

    meanwhile(lambda: storage.delete(name))
    assert storage.rewrite(name) is False
    assert not storage.exists(name)
    storage.save(name, ContentFile(CONTENT))
    services.rotate_data_key(principal=admin, tenant_id=org.id, purpose="test.artifact")
    meanwhile(lambda: (storage.delete(name), storage.save(name, ContentFile(b"another"))))
    assert storage.rewrite(name) is False
    with storage.open(name) as file:
        assert file.read() == b"another"
    assert storages["objects"].names(str(org.id), after="", limit=10) == [name]


def test_of_two_that_take_a_name_in_the_same_moment_one_is_told(storage, org):
    name = f"{org.id}/one.bin"
    place = storages["objects"]

    def first_comes_another():
        place.save_new(name, SealedFile([b"the first"], name))
        yield b"the second" * 1_000_000

    with pytest.raises(FileExistsError):
        place.save_new(name, SealedFile(first_comes_another(), name))
    assert raw(storage, name) == b"the first"


def test_a_folder_is_emptied_at_once(storage, org):
    for part in ("jobs/1/a", "jobs/1/b/c", "jobs/10/a"):
        storage.save(f"{org.id}/{part}", ContentFile(b"x"))
    storages["objects"].delete_below(f"{org.id}/jobs/1")
    assert storages["objects"].names(str(org.id), after="", limit=10) == [f"{org.id}/jobs/10/a"]
    storages["objects"].delete_below(f"{org.id}/jobs/1")


def test_what_is_missing_is_missing(storage, org):
    with pytest.raises(FileNotFoundError):
        storage.open(f"{org.id}/none.bin")
    assert not storage.exists(f"{org.id}/none.bin")
    storage.delete(f"{org.id}/none.bin")


@pytest.mark.parametrize("name", ["models/one.onnx", "one", f"{uuid.UUID(int=7)}"])
def test_a_name_without_a_tenant_is_refused(storage, name):
    with pytest.raises(ValueError, match="tenant"):
        storage.save(name, ContentFile(b"x"))


def test_nothing_half_written_stays(storage, org):
    class Breaks(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 600_000:
                raise OSError("the upload broke off")
            return super().read(size)

    with pytest.raises(OSError, match="broke off"):
        storage.save(f"{org.id}/one.bin", File(Breaks(CONTENT), "one.bin"))
    assert storages["objects"].names(str(org.id), after="", limit=10) == []
    assert not storage.exists(f"{org.id}/one.bin")


def test_there_is_no_path_or_address_to_give_out(storage, org):
    name = storage.save(f"{org.id}/one.bin", ContentFile(b"x"))
    for give in (storage.path, storage.url):
        with pytest.raises(NotImplementedError):
            give(name)
    with pytest.raises(ValueError, match="reading"):
        storage.open(name, "wb")


def test_names_come_in_pages(storage, org):
    names = {
        storage.save(f"{org.id}/{part}.bin", ContentFile(b"x"))
        for part in ("b/1", "a/2", "a/1", "c", "a/b/3")
    }
    place, found, after = storages["objects"], [], ""
    while page := place.names(str(org.id), after=after, limit=2):
        found += page
        after = page[-1]
    assert len(found) == len(names)
    assert set(found) == names
    assert place.names(str(uuid.uuid4()), after="", limit=2) == []


def test_files_are_written_anew_with_the_active_key(storage, org, principal_for, monkeypatch):
    monkeypatch.setattr(rewriting, "_collections", {})
    rewriting.register(StorageCollection("test.artifacts", storage))
    names = [storage.save(f"{org.id}/{i}.bin", ContentFile(CONTENT)) for i in range(3)]
    before = {name: raw(storage, name) for name in names}
    storages["objects"].put(names[1], [b"not sealed at all"])
    admin = principal_for(org, Role.TENANT_ADMIN)
    active = services.rotate_data_key(principal=admin, tenant_id=org.id, purpose="test.artifact")
    job = services.re_encrypt(principal=admin, tenant_id=org.id)
    while services.step(job.id, org.id):
        pass
    job.refresh_from_db()
    assert (job.state, job.total, job.seen, job.rewritten) == (ReEncryption.State.DONE, 3, 3, 2)
    assert job.problems == [{"collection": "test.artifacts", "object": names[1], "code": "not-sealed"}]
    memory.forget()
    for name in (names[0], names[2]):
        assert raw(storage, name) != before[name]
        assert raw(storage, name)[4:20] == active.id.bytes
        with storage.open(name) as file:
            assert file.read() == CONTENT


def test_files_on_disk_are_for_the_site_alone(org, settings, tmp_path):
    settings.STORAGES = settings.STORAGES | {
        "objects": {
            "BACKEND": "governance.keys.places.LocalPlace",
            "OPTIONS": {"location": tmp_path / "objects"},
        }
    }
    with tenant_context(org.id):
        name = SealedStorage(purpose="test.artifact").save(f"{org.id}/one.bin", ContentFile(b"x"))
    assert stat.S_IMODE((tmp_path / "objects" / name).stat().st_mode) == 0o600


def test_a_bucket_that_does_not_answer_is_said_so(org, settings, unused_tcp_port):
    options = {
        "bucket_name": "sealed",
        "endpoint_url": f"http://127.0.0.1:{unused_tcp_port}",
        "region_name": "eu-1",
        "access_key": "id",
        "secret_key": "secret",
        "client_config": __import__("botocore.config", fromlist=["Config"]).Config(
            retries={"max_attempts": 0}
        ),
    }
    settings.STORAGES = settings.STORAGES | {
        "objects": {"BACKEND": "governance.keys.bucket.BucketPlace", "OPTIONS": options}
    }
    storage = SealedStorage(purpose="test.artifact")
    with tenant_context(org.id), pytest.raises(Unavailable) as refused:
        storage.open(f"{org.id}/one.bin")
    assert not isinstance(refused.value, Unsealable)
    assert "secret" not in str(refused.value)
