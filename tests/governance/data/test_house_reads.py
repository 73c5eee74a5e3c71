"""What the house itself reads of restricted content is in the audit log: once, as the system's, and nothing else."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction

from governance import process
from governance.audit.models import AuditEntry
from governance.data.house_reads import ACTION, keep_house_read
from governance.data.services import register_asset
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context

pytestmark = pytest.mark.django_db(transaction=True)


def thing(org, label):
    target = ObjectRef("test.scan", label, label=label)
    with tenant_context(org.id), transaction.atomic():
        register_asset(principal=SYSTEM, target=target, tenant_id=org.id, label=label)
    return target


def readings():
    with platform_scope(), transaction.atomic():
        rows = AuditEntry.objects.filter(action=ACTION).order_by("sequence")
        return [(e.actor_kind, e.target_id, e.details["use"], e.details["process"]) for e in rows]


def test_a_restricted_thing_that_the_house_reads_is_one_entry_of_the_systems(org, monkeypatch):
    monkeypatch.setattr(process, "_kind", process.process_kind())
    target = thing(org, "restricted")
    keep_house_read(target, tenant_id=org.id, use="try")
    process.set_process_kind("worker")
    keep_house_read(target, tenant_id=org.id, use="try")
    assert readings() == [
        ("system", "restricted", "try", "command"),
        ("system", "restricted", "try", "worker"),
    ]


@pytest.mark.parametrize("label", ["public", "internal", "confidential"])
def test_no_other_label_is_recorded(org, label):
    keep_house_read(thing(org, label), tenant_id=org.id, use="try")
    keep_house_read(ObjectRef("test.scan", "nobody registered it"), tenant_id=org.id, use="try")
    assert readings() == []


def test_work_that_opens_a_thing_piece_by_piece_says_it_once_for_each_use(org):
    target = thing(org, "restricted")
    for use in ("try", "try", "compare", "try"):
        keep_house_read(target, tenant_id=org.id, use=use, once=True)
    assert [use for _kind, _id, use, _process in readings()] == ["try", "compare"]


def test_what_was_rolled_back_is_said_again(org):
    target = thing(org, "restricted")
    with pytest.raises(RuntimeError), tenant_context(org.id), transaction.atomic():
        keep_house_read(target, tenant_id=org.id, use="try", once=True)
        raise RuntimeError
    assert readings() == []
    keep_house_read(target, tenant_id=org.id, use="try", once=True)
    assert len(readings()) == 1


def test_a_thread_without_a_connection_or_a_scope_keeps_it_too(org):
    target, failed = thing(org, "restricted"), []

    def read():
        try:
            assert connection.connection is None
            keep_house_read(target, tenant_id=org.id, use="try")
        except BaseException as error:  # noqa: BLE001  told by the thread that waits
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert not failed
    assert len(readings()) == 1
