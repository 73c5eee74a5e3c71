"""What would not open is in the audit log, although the reader's transaction was rolled back."""

from __future__ import annotations

import io

import pytest
from django.db import transaction

from governance.audit.models import AuditEntry
from governance.keys import envelopes
from governance.keys.errors import Altered, NotSealed
from governance.keys.incidents import MAX_WAITING, Incident, incidents
from governance.tenants.context import tenant_context

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


def test_a_flood_does_not_fill_memory_or_the_log(org):
    for number in range(MAX_WAITING + 50):
        incidents.note(Incident(org.id, "test.secret", str(number), "sealed-altered"))
    assert len(incidents._waiting) == MAX_WAITING
    incidents.begin()
