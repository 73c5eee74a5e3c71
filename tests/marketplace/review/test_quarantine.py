"""Uploads lie sealed with the partner's key: nothing of them can be read on the disk, and changed ones do not open."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.db import transaction

from governance.errors import Conflict
from governance.ids import uuid7
from governance.keys import services as keys
from governance.keys.errors import Altered, KeyDestroyed, KeysUnavailable
from governance.keys.memory import memory
from governance.keys.sweeping import sweep_orphans
from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from marketplace.catalog.quarantine import STORAGE, UploadedArchive, archive_path, earlier_folder
from marketplace.review import checking, contents, keeping
from marketplace.review.archives import list_files, take_in
from marketplace.review.models import CheckRun
from tests.factories.files import on_disk, written_days_ago
from tests.factories.marketplace import acting, approve, package, publish, reload, run_checks, upload

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]
NOTE = b"a sentence of the partner's that nobody else has written"
MOST_GROWTH_KB = 64 * 1024


@pytest.fixture(autouse=True)
def objects(settings, tmp_path):
    """Sealed files below the state folder of the test."""
    settings.STORAGES = settings.STORAGES | {
        "objects": {
            "BACKEND": "governance.keys.places.LocalPlace",
            "OPTIONS": {"location": tmp_path / "var" / "objects"},
        }
    }
    memory.forget()
    yield
    memory.forget()


def bytes_below(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_no_plain_byte_of_an_upload_lies_on_the_disk(partner, site):
    data = package(files={"NOTES.md": NOTE})
    submission = run_checks(upload(partner, data))
    assert submission.state == "waiting_for_review"
    found = bytes_below(site)
    sealed = on_disk(submission.archive.file)
    assert found[sealed].startswith(b"OCS\x01")
    pieces = [data[at : at + 16] for at in range(0, len(data) - 16, 16)]
    for content in found.values():
        assert not content.startswith(b"PK")
        assert not any(piece in content for piece in pieces)
    assert sealed.stat().st_mode & 0o777 == 0o600
    assert not earlier_folder(submission.tenant_id).exists()


def test_reviewers_see_the_files_and_what_is_published_is_what_was_uploaded(partner, reviewer, site):
    first = run_checks(upload(partner, package(files={"NOTES.md": NOTE})))
    with acting(reviewer):
        shown = contents.content_of(principal=reviewer, submission=first, path="NOTES.md")
    assert shown.text == NOTE.decode()
    published = publish(approve(first, reviewer))
    assert published.state == "published"
    assert [path for path in bytes_below(site / "tuf") if path.name.startswith(first.sha256)]
    second = upload(partner, package(version="1.1.0", files={"NOTES.md": b"another sentence"}))
    with acting(reviewer):
        diff = contents.diff_of(principal=reviewer, submission=second)
    assert diff.base == "1.0.0"
    assert "-" + NOTE.decode() in next(change for change in diff.files if change.path == "NOTES.md").diff


def test_a_flipped_bit_is_refused_and_no_check_passes(partner, reviewer):
    submission = upload(partner)
    file = on_disk(submission.archive.file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(Altered), submission.archive.open() as archive:
        archive.read()
    with acting(reviewer), pytest.raises(Altered):
        contents.files_of(principal=reviewer, submission=submission)
    checked = run_checks(submission)
    assert checked.state == "check_error"
    with platform_scope(), transaction.atomic():
        statuses = set(
            CheckRun.objects.filter(submission=submission, required=True).values_list("status", flat=True)
        )
    assert statuses == {"ERROR"}


def test_an_archive_put_in_the_place_of_another_does_not_open(partner):
    first, second = upload(partner), upload(partner, package(version="2.0.0"))
    on_disk(first.archive.file).write_bytes(on_disk(second.archive.file).read_bytes())
    with pytest.raises(Altered):
        first.archive.open()


class Generated:
    """A reader of `size` bytes that are nowhere at once, and are not all alike."""

    def __init__(self, size):
        self.left = size
        self.block = os.urandom(1 << 20)

    def read(self, size):
        part = self.block[: min(size, self.left)]
        self.left -= len(part)
        return part


def test_a_large_upload_passes_in_bounded_memory(partner_org):
    def taken(size):
        submission_id = uuid7()
        archive = UploadedArchive(partner_org.id, archive_path(partner_org.id, submission_id), "")
        kept = take_in(Generated(size), archive, limit_bytes=1 << 30)
        read = 0
        with archive.open() as reader:
            while piece := reader.read(1 << 20):
                read += len(piece)
        archive.delete()
        assert kept.size_bytes == read == size

    taken(8 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken(300 << 20)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_GROWTH_KB


def test_without_the_key_nothing_of_it_can_be_read(partner, partner_org, reviewer, principal_for):
    submission = upload(partner)
    first, second = (
        principal_for(partner_org, Role.TENANT_ADMIN),
        principal_for(partner_org, Role.TENANT_ADMIN),
    )
    with tenant_context(partner_org.id):
        asked = keys.request_destruction(principal=first, tenant_id=partner_org.id, reason="contract ended")
        keys.confirm_destruction(principal=second, destruction_id=asked.id)
    with pytest.raises(KeyDestroyed):
        submission.archive.open()
    with acting(reviewer), pytest.raises(KeyDestroyed):
        contents.files_of(principal=reviewer, submission=submission)


def test_keys_that_are_away_reject_nothing(partner, monkeypatch):
    submission = upload(partner)
    with platform_scope(), transaction.atomic():
        CheckRun.objects.filter(submission=submission).update(state="done", status="PASSED")
    with monkeypatch.context() as away:

        def opened(archive, mode="rb"):
            raise KeysUnavailable("away")

        away.setattr(UploadedArchive, "open", opened)
        with pytest.raises(KeysUnavailable):
            checking.conclude(submission_id=submission.id)
        assert reload(submission).state == "checking"
    checking.conclude(submission_id=submission.id)
    assert reload(submission).state == "waiting_for_review"


def as_earlier(submission, data):
    """Put an upload where an earlier release kept it."""
    submission.archive.file.delete()
    plain = submission.archive.earlier
    plain.parent.mkdir(parents=True)
    plain.write_bytes(data)
    return plain


def test_an_upload_of_an_earlier_release_is_read_if_it_is_right_and_is_sealed_by_the_task(partner):
    data = package()
    submission = upload(partner, data)
    plain = as_earlier(submission, b"somebody else's")
    with pytest.raises(Conflict, match="changed on disk"):
        submission.archive.open()
    assert keeping.seal_earlier() == 0
    assert plain.read_bytes() == b"somebody else's"
    plain.write_bytes(data)
    assert list_files(submission.archive)
    assert keeping.seal_earlier() == 1
    assert not plain.exists()
    with submission.archive.open() as reader:
        assert reader.read() == data
    assert run_checks(submission).state == "waiting_for_review"


def test_re_encryption_seals_earlier_uploads_too(partner, partner_org, principal_for):
    data = package()
    submission = upload(partner, data)
    plain = as_earlier(submission, data)
    admin = principal_for(partner_org, Role.TENANT_ADMIN)
    with tenant_context(partner_org.id):
        job = keys.re_encrypt(principal=admin, tenant_id=partner_org.id, purpose=STORAGE.purpose)
        keys.step(job.id, partner_org.id, limit_s=3600)
    assert not plain.exists()
    with submission.archive.open() as reader:
        assert reader.read() == data


def test_a_refused_upload_leaves_nothing_and_an_orphan_is_swept(partner, partner_org, site):
    submission = upload(partner)
    ended = run_checks(upload(partner, b"this is no archive"))
    orphan = UploadedArchive(partner_org.id, archive_path(partner_org.id, uuid7()), "")
    orphan.write([b"the request was killed"])
    running = UploadedArchive(partner_org.id, archive_path(partner_org.id, uuid7()), "")
    running.write([b"the request runs"])
    written_days_ago(submission.archive.file, ended.archive.file, orphan.file)
    assert sweep_orphans() == 1
    assert not orphan.exists()
    assert all(archive.exists() for archive in (submission.archive, ended.archive, running))
    with pytest.raises(Conflict), acting(partner):
        upload(partner, package(files={"NOTES.md": "other bytes"}))
    assert len(storages["objects"].names(STORAGE.root(partner_org.id), after="", limit=10)) == 3


def test_an_earlier_orphan_is_sealed_and_then_swept(partner, partner_org):
    submission_id = uuid7()
    plain = earlier_folder(partner_org.id) / f"{submission_id}.zip"
    plain.parent.mkdir(parents=True)
    plain.write_bytes(NOTE)
    assert keeping.seal_earlier() == 1
    archive = UploadedArchive(partner_org.id, archive_path(partner_org.id, submission_id), "")
    assert not plain.exists()
    with archive.open() as reader:
        assert reader.read() == NOTE
    written_days_ago(archive.file)
    assert sweep_orphans() == 1
    assert not archive.exists()
