"""What a process remembers of opened keys: little, briefly, and nothing that was announced to have changed."""

from __future__ import annotations

import os
import time
import uuid

import pytest

from governance.access.hub import EVERYTHING
from governance.keys.memory import Memory, open_key


def key(tenant=None):
    return open_key(uuid.uuid4(), tenant or uuid.uuid4(), "test.secret", os.urandom(32))


def test_the_least_used_goes_first():
    memory = Memory(size=3)
    keys = [key() for _ in range(3)]
    for one in keys:
        memory.put(one, active=True, generation=0)
    assert memory.get(keys[0].id)
    memory.put(key(), active=True, generation=0)
    assert memory.get(keys[1].id) is None
    assert memory.get(keys[0].id) is keys[0]
    assert len(memory._keys) == len(memory._active) == 3


def test_a_tenants_keys_are_forgotten_when_that_is_announced():
    memory, one, other = Memory(), key(), key()
    for known in (one, other):
        memory.put(known, active=True, generation=0)
    memory.hear("key", str(one.tenant_id))
    assert memory.get(one.id) is None
    assert memory.active(one.tenant_id, "test.secret") is None
    assert memory.get(other.id) is other
    memory.hear("token", "anything")
    assert memory.get(other.id) is other
    memory.hear(EVERYTHING, "")
    assert memory.get(other.id) is None


def test_what_was_read_before_an_announcement_is_not_remembered_after_it():
    memory, one = Memory(), key()
    generation = memory.generation
    memory.hear("key", str(uuid.uuid4()))
    memory.put(one, active=True, generation=generation)
    assert memory.get(one.id) is None


def test_nothing_is_believed_for_longer_than_the_hub_allows(monkeypatch):
    memory, one = Memory(), key()
    memory.put(one, active=True, generation=0)
    now = time.monotonic()
    monkeypatch.setattr("governance.keys.memory.time.monotonic", lambda: now + 1.5)
    assert memory.get(one.id) is None, "the hub does not listen here, so a second is the bound"
    assert memory.active(one.tenant_id, "test.secret") is None


def test_key_material_does_not_show_in_logs():
    one = key()
    assert one.stream_secret.hex() not in repr(one)
    assert str(one.stream_secret) not in repr(one)


@pytest.mark.django_db
def test_a_place_that_is_away_takes_what_is_remembered_with_it(org, token_in_use):
    from governance.keys import envelopes
    from governance.keys.errors import KeysUnavailable
    from governance.keys.memory import memory
    from governance.keys.selectors import provider_state
    from governance.tenants.context import tenant_context

    binding = {"tenant_id": org.id, "purpose": "test.secret", "object_id": "1"}
    with tenant_context(org.id):
        blob = envelopes.seal(b"seed", **binding)
        assert envelopes.unseal(blob, **binding) == b"seed"
        token_in_use.remove()
        assert not provider_state().ok
        with pytest.raises(KeysUnavailable):
            envelopes.unseal(blob, **binding)
        assert not memory._keys
        token_in_use.restore()
        time.sleep(0.6)
        assert envelopes.unseal(blob, **binding) == b"seed"
