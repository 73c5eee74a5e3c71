"""Uploads in parts that nobody ended are ended by the daily sweep: the house's own, and old ones alone."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError
from django.core.files.storage import storages
from django.utils import timezone

from governance.errors import Unavailable
from governance.keys import bucket, sweeping
from governance.keys.storage import SealedStorage
from governance.keys.sweeping import UPLOADING, SweptFiles, sweep_orphans
from governance.tenants.context import tenant_context

pytestmark = pytest.mark.django_db
STORAGE = SealedStorage(purpose="test.swept", folder="swept")


@pytest.fixture
def place(s3, settings, monkeypatch):
    """A bucket as the place of the one storage that is swept, whose every file a row answers for."""
    backend = {"BACKEND": "governance.keys.bucket.BucketPlace", "OPTIONS": s3}
    settings.STORAGES = settings.STORAGES | {"objects": backend}
    files = SweptFiles("test.swept", STORAGE, re.compile(r"[a-z]+"), lambda _tenant, names: names)
    monkeypatch.setattr(sweeping, "_swept", {files.name: files})
    found = storages["objects"]
    yield found
    for upload in uploads(found):
        found.bucket.meta.client.abort_multipart_upload(Bucket=found.bucket_name, **upload)


def begin(place, name, *, parts=1):
    """An upload whose process is killed after so many parts."""
    client, where = place.bucket.meta.client, {"Bucket": place.bucket_name, "Key": name}
    where["UploadId"] = client.create_multipart_upload(**where)["UploadId"]
    for number in range(parts):
        client.upload_part(PartNumber=number + 1, Body=b"x" * 1024, **where)
    return {"Key": name, "UploadId": where["UploadId"]}


def uploads(place):
    found = place.bucket.meta.client.list_multipart_uploads(Bucket=place.bucket_name).get("Uploads", [])
    return [{"Key": upload["Key"], "UploadId": upload["UploadId"]} for upload in found]


@pytest.fixture
def in_two_days(monkeypatch):
    """The sweep's clock."""

    class Clock:
        @staticmethod
        def now():
            return timezone.now() + 2 * UPLOADING

    monkeypatch.setattr(sweeping, "timezone", Clock)


def test_a_broken_upload_goes_a_day_after_its_last_part(place, org, in_two_days):
    begin(place, f"{org.id}/swept/one")
    begin(place, f"{org.id}/swept/one")
    assert sweep_orphans() == 0
    assert uploads(place) == []


def test_an_upload_that_goes_on_stays_however_long_ago_it_began(place, org):
    """The stand-in says of every upload that it began in 2010; its parts have the time of now."""
    going_on = begin(place, f"{org.id}/swept/one")
    sweep_orphans()
    assert uploads(place) == [going_on]


def test_what_is_not_below_the_houses_own_folders_stays(place, org, in_two_days):
    others = [begin(place, name) for name in ("elsewhere/one", f"{org.id}/sweptable/one", "one")]
    sweep_orphans()
    assert sorted(uploads(place), key=str) == sorted(others, key=str)


def test_many_are_ended(place, org, in_two_days):
    for number in range(5):
        begin(place, f"{org.id}/swept/file{number}", parts=0)
    sweep_orphans()
    assert uploads(place) == []


def test_one_that_is_ended_meanwhile_keeps_no_other_waiting(place, org, monkeypatch):
    first, second = (begin(place, f"{org.id}/swept/{name}") for name in ("one", "two"))
    client = place.bucket.meta.client
    real = client.get_paginator

    def paginator(operation):
        if operation == "list_parts" and first in uploads(place):
            client.abort_multipart_upload(Bucket=place.bucket_name, **first)
        return real(operation)

    monkeypatch.setattr(client, "get_paginator", paginator)
    place.drop_drafts(f"{org.id}/swept", before=timezone.now() + timedelta(days=1))
    assert second not in uploads(place)
    assert uploads(place) == []


def test_files_are_swept_where_the_account_may_not_list_uploads(place, org, monkeypatch, in_two_days, caplog):
    files = SweptFiles("test.swept", STORAGE, re.compile(r"[a-z]+"), lambda _tenant, _names: ())
    monkeypatch.setattr(sweeping, "_swept", {files.name: files})
    with tenant_context(org.id):
        STORAGE.file(org.id, "orphan").write([b"nobody's"])
    client = place.bucket.meta.client
    real = client.get_paginator

    def refuse(operation):
        if operation == "list_multipart_uploads":
            answer = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise ClientError(answer, "ListMultipartUploads")
        return real(operation)

    monkeypatch.setattr(client, "get_paginator", refuse)
    with pytest.raises(Unavailable):
        place.drop_drafts(f"{org.id}/swept", before=timezone.now())
    assert sweep_orphans() == 1
    assert "cannot be removed" in caplog.text


def test_a_writer_whose_upload_was_ended_is_told_and_leaves_nothing(place, org, monkeypatch):
    monkeypatch.setattr(bucket, "PART_BYTES", 5 << 20)

    def pieces():
        yield b"x" * (12 << 20)
        place.drop_drafts(f"{org.id}/swept", before=timezone.now() + timedelta(days=1))
        yield b"y" * (6 << 20)

    with pytest.raises(Exception) as told:
        place.put(f"{org.id}/swept/large", pieces())
    assert isinstance(told.value, Unavailable)
    assert not place.exists(f"{org.id}/swept/large")
