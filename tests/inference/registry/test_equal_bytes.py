"""One version is erased while another of equal bytes is registered: whoever comes first, the new one has its bytes."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import OperationalError, close_old_connections, connection, transaction

from governance.errors import Unavailable
from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope, tenant_context
from inference.registry import services
from inference.registry.models import ModelVersion
from inference.registry.services import erase_version
from tests.factories.inference import adding_model, make_version

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin(principal_for, org):
    return principal_for(org, Role.TENANT_ADMIN)


class Thread(threading.Thread):
    """Works over a connection of its own; `finish` raises what it raised."""

    def __init__(self, work) -> None:
        super().__init__()
        self.work, self.error = work, None
        self.start()

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # noqa: BLE001  told by the thread that waits
            self.error = error
        finally:
            close_old_connections()
            connection.close()

    def finish(self) -> None:
        self.join(120)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error


def erase(version):
    with tenant_context(version.tenant_id):
        erase_version(principal=SYSTEM, version_id=version.id, reason="It was erased.")


def is_whole(version):
    with platform_scope(), transaction.atomic():
        fresh = ModelVersion.objects.get(pk=version.pk)
    return fresh.state == "ready" and fresh.artifact.read_bytes() == adding_model()


def test_registered_between_the_erasure_and_the_removal_of_the_bytes(admin, monkeypatch):
    old = make_version(admin)
    committed, go_on = threading.Event(), threading.Event()
    remove = services._remove_unless_shared

    def later(*given):
        committed.set()
        assert go_on.wait(120)
        remove(*given)

    monkeypatch.setattr(services, "_remove_unless_shared", later)
    erasing = Thread(lambda: erase(old))
    assert committed.wait(120)
    new = make_version(admin, version="2.0.0")
    go_on.set()
    erasing.finish()
    assert is_whole(new)


def test_erased_between_the_writing_of_the_bytes_and_the_registration(admin, monkeypatch):
    old = make_version(admin)
    store, erased = services.store_artifact, []

    def store_then_erase(**given):
        kept = store(**given)
        if not erased:
            erased.append(old)
            Thread(lambda: erase(old)).finish()
            assert not old.artifact.file.exists()
        return kept

    monkeypatch.setattr(services, "store_artifact", store_then_erase)
    new = make_version(admin, version="2.0.0")
    assert erased
    assert is_whole(new)


def waits_for_a_lock():
    """Until another connection waits for an advisory lock that this one holds."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            if cursor.fetchone()[0]:
                return True
        time.sleep(0.02)
    return False


def test_a_removal_waits_for_a_registration_that_is_not_committed(admin):
    old = make_version(admin)
    with tenant_context(admin.tenant_id), transaction.atomic():
        new = make_version(admin, version="2.0.0", model="another")
        erasing = Thread(lambda: erase(old))
        assert waits_for_a_lock()
    erasing.finish()
    assert is_whole(new)


def test_bytes_that_nobody_shares_go_and_those_of_a_registration_that_failed_too(admin):
    old = make_version(admin)
    with pytest.raises(LookupError), tenant_context(admin.tenant_id), transaction.atomic():
        make_version(admin, version="2.0.0")
        raise LookupError
    erase(old)
    assert not old.artifact.exists()


@pytest.mark.parametrize("error", [OSError("away"), Unavailable("away"), OperationalError("away")])
def test_an_erasure_stands_whatever_keeps_its_file(admin, monkeypatch, caplog, error):
    old = make_version(admin)

    def away(**_given):
        raise error

    monkeypatch.setattr(services, "remove_artifact", away)
    erase(old)
    with platform_scope(), transaction.atomic():
        assert ModelVersion.objects.get(pk=old.pk).state == "retired"
    assert "its file could not be removed" in caplog.text
