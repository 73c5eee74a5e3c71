"""What would not open is in the audit log, although the reader's transaction was rolled back."""

from __future__ import annotations

import io

import pytest
from django.db import DataError, OperationalError, transaction

from governance.audit.models import AuditEntry
from governance.keys import envelopes
from governance.keys import incidents as incidents_module
from governance.keys.errors import Altered, KeyDestroyed, NotSealed
from governance.keys.incidents import MAX_WAITING, Incident, incidents
from governance.keys.memory import memory
from governance.keys.models import DataKey, KeyState
from governance.principals import Role
from governance.tenants.checkpoints import Cause, caused_by
from governance.tenants.context import request_id, tenant_context

pytestmark = pytest.mark.django_db


def entries(org):
    with tenant_context(org.id):
        return list(AuditEntry.objects.filter(action="keys.envelope.open"))


def test_an_altered_message_is_written_down_once_with_a_count(org):
    binding = {"tenant_id": org.id, "purpose": "test.secret", "object_id": "model-1"}
    with tenant_context(org.id):
        blob = envelopes.seal(b"very secret", **binding)
        for _ in range(3):
            with pytest.raises(Altered), transaction.atomic():
                envelopes.unseal(blob[:-1] + bytes([blob[-1] ^ 1]), **binding)
    incidents.flush()
    (entry,) = entries(org)
    assert (entry.decision, entry.reason, entry.target_id) == ("deny", "sealed-altered", "model-1")
    assert entry.details == {"purpose": "test.secret", "times": 3}
    incidents.flush()
    assert len(entries(org)) == 1


def test_streams_count_too(org):
    binding = {"tenant_id": org.id, "purpose": "test.secret", "object_id": "model-1"}
    with tenant_context(org.id):
        for read in (
            lambda: envelopes.unseal_stream(io.BytesIO(b"nothing of ours"), io.BytesIO(), **binding),
            lambda: envelopes.open_sealed(io.BytesIO(b"nothing of ours"), **binding),
        ):
            with pytest.raises(NotSealed):
                read()
    incidents.flush()
    assert [e.details["times"] for e in entries(org)] == [2]


def test_what_was_destroyed_is_told_too_with_who_asked(org, principal_for):
    admin = principal_for(org, Role.TENANT_ADMIN)
    binding = {"tenant_id": org.id, "purpose": "test.secret", "object_id": "model-1"}
    with tenant_context(org.id), caused_by(Cause.of(admin)), request_id("request-7"):
        blob = envelopes.seal(b"very secret", **binding)
        DataKey.objects.update(state=KeyState.DESTROYED)
        memory.forget()
        with pytest.raises(KeyDestroyed):
            envelopes.unseal(blob, **binding)
    incidents.flush()
    (entry,) = entries(org)
    assert (entry.reason, entry.request_id) == ("key-destroyed", "request-7")
    assert entry.details == {"purpose": "test.secret", "times": 1, "asked_by": f"user {admin.id}"}


def test_nothing_is_lost_while_the_database_is_away(org, monkeypatch):
    for number in range(3):
        incidents.note(Incident(org.id, "test.secret", str(number), "sealed-altered"))
    real, calls = incidents_module.record, []

    def record(**given):
        calls.append(given["target"].id)
        if len(calls) == 2:
            incidents.note(Incident(org.id, "test.secret", "2", "sealed-altered"))
            raise OperationalError("the connection is closed")
        return real(**given)

    monkeypatch.setattr(incidents_module, "record", record)
    assert incidents.flush() is False
    assert incidents.flush() is True
    assert sorted((e.target_id, e.details["times"]) for e in entries(org)) == [("0", 1), ("1", 1), ("2", 2)]


def test_who_tries_again_and_again_makes_few_entries(org):
    for _ in range(2):
        incidents.note(Incident(org.id, "test.secret", "1", "key-destroyed"))
        incidents.flush(repeat_s=60)
    incidents.note(Incident(org.id, "test.secret", "1", "key-destroyed"))
    assert [e.details["times"] for e in entries(org)] == [1]
    assert incidents.flush(repeat_s=60) is False
    assert incidents.flush() is True
    assert sorted(e.details["times"] for e in entries(org)) == [1, 2]


def test_an_entry_that_the_database_refuses_keeps_no_other_waiting(org, monkeypatch):
    for number in range(2):
        incidents.note(Incident(org.id, "test.secret", str(number), "sealed-altered"))
    real, calls = incidents_module.record, []

    def record(**given):
        calls.append(given)
        if len(calls) == 1:
            raise DataError("a value that no column takes")
        return real(**given)

    monkeypatch.setattr(incidents_module, "record", record)
    assert incidents.flush() is True
    assert [e.target_id for e in entries(org)] == ["1"]


def test_a_flood_does_not_fill_memory_or_the_log(org):
    for number in range(MAX_WAITING + 50):
        incidents.note(Incident(org.id, "test.secret", str(number), "sealed-altered"))
    assert len(incidents._waiting) == MAX_WAITING
    incidents.begin()
