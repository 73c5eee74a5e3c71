"""Sealed files that no row answers for are removed, and nothing else is."""

from __future__ import annotations

import re

import pytest
from django.db import transaction

from governance.audit.models import AuditEntry
from governance.errors import Unavailable
from governance.keys import sweeping
from governance.keys.places import DRAFT, LocalPlace
from governance.keys.storage import SealedStorage
from governance.keys.sweeping import SweptFiles, sweep_orphans
from governance.tenants.context import tenant_context
from tests.factories.files import on_disk, written_days_ago

pytestmark = pytest.mark.django_db
STORAGE = SealedStorage(purpose="test.swept", folder="swept")


@pytest.fixture
def rows(monkeypatch):
    """The names that a row answers for; nothing but this storage is swept."""
    kept = set()
    files = SweptFiles(
        "test.swept", STORAGE, re.compile(r"[a-z]+/?[a-z]*"), lambda _tenant, names: kept & set(names)
    )
    monkeypatch.setattr(sweeping, "_swept", {files.name: files})
    return kept


def put(tenant, name, *, old=True):
    file = STORAGE.file(tenant.id, name)
    with tenant_context(tenant.id):
        file.write([b"content of " + name.encode()])
    if old:
        written_days_ago(file)
    return file


def removals(tenant):
    with tenant_context(tenant.id), transaction.atomic():
        rows = AuditEntry.objects.filter(action="keys.files.sweep").order_by("sequence")
        return [(row.target_id, row.details["removed"]) for row in rows]


def test_old_orphans_go_of_every_tenant_and_the_log_says_how_many(org, other_org, rows):
    rows |= {"kept", "deep/kept"}
    gone = [put(org, "one"), put(org, "deep/two"), put(other_org, "one")]
    stay = [put(org, "kept"), put(org, "deep/kept"), put(org, "young", old=False), put(org, "4-is-not-ours")]
    assert sweep_orphans() == 3
    assert not any(file.exists() for file in gone)
    assert all(file.exists() for file in stay)
    assert removals(org) == [("test.swept", 2)]
    assert removals(other_org) == [("test.swept", 1)]
    assert sweep_orphans() == 0
    assert removals(org) == [("test.swept", 2)]


def test_many_files_are_asked_for_page_by_page(org, rows, monkeypatch):
    monkeypatch.setattr(sweeping, "NAMES_AT_ONCE", 2)
    files = {name: put(org, name) for name in "abcde"}
    rows |= {"b", "e"}
    assert sweep_orphans() == 3
    assert [name for name, file in files.items() if file.exists()] == ["b", "e"]


def test_what_is_written_again_while_rows_are_asked_stays(org, rows, monkeypatch):
    file = put(org, "same")
    real = SweptFiles.orphans

    def orphans(files, tenant_id):
        found = real(files, tenant_id)
        with tenant_context(org.id):
            file.write([b"the same digest"], over=True)
        return found

    monkeypatch.setattr(SweptFiles, "orphans", orphans)
    assert sweep_orphans() == 0
    assert file.exists()


def test_drafts_of_a_killed_writer_go_and_those_of_one_at_work_stay(org, rows):
    folder = on_disk(put(org, "deep/kept")).parent
    rows.add("deep/kept")
    killed, at_work = folder / f"{DRAFT}killed", folder / f"{DRAFT}atwork"
    for draft in (killed, at_work):
        draft.write_bytes(b"half")
    written_days_ago(killed)
    assert sweep_orphans() == 0
    assert not killed.exists()
    assert at_work.exists()


@pytest.mark.parametrize(
    "error", [PermissionError(13, "no"), Unavailable("The file storage does not answer.")]
)
def test_a_tenant_whose_files_cannot_be_removed_keeps_no_other_waiting(
    org, other_org, rows, monkeypatch, error
):
    stuck, other = put(org, "one"), put(other_org, "one")
    real = LocalPlace.delete

    def delete(place, name):
        if name.startswith(str(org.id)):
            raise error
        real(place, name)

    monkeypatch.setattr(LocalPlace, "delete", delete)
    assert sweep_orphans() == 1
    assert stuck.exists()
    assert not other.exists()
    assert removals(org) == []


def test_every_storage_that_is_swept_is_registered_once():
    known = sweeping.registered()
    assert {files.name for files in known} >= {"data.datasets", "registry.artifacts", "review.uploads"}
    with pytest.raises(ValueError, match="twice"):
        sweeping.register(SweptFiles(known[0].name, STORAGE, re.compile(""), lambda _tenant, names: names))
