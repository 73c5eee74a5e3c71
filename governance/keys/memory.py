"""Opened data keys that a process remembers: few, briefly, and forgotten as soon as a change is announced."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from governance.access.hub import EVERYTHING, hub

MAX_REMEMBERED = 4096
DERIVED_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class OpenKey:
    """A data key ready for use, as two keys derived from it (HKDF-Expand, RFC 5869), so that neither format can harm
    the other: `cipher` for single messages, `stream_secret` from which every stream derives a key of its own.
    """

    id: UUID
    tenant_id: UUID
    purpose: str
    cipher: AESGCM
    stream_secret: bytes


def open_key(key_id: UUID, tenant_id: UUID, purpose: str, data_key: bytes) -> OpenKey:
    """Derive what is used from the unwrapped bytes."""
    return OpenKey(
        id=key_id,
        tenant_id=tenant_id,
        purpose=purpose,
        cipher=AESGCM(_expand(data_key, b"openclaw message key 1")),
        stream_secret=_expand(data_key, b"openclaw stream secret 1"),
    )


class Memory:
    """By key id, and the active key's id by tenant and purpose. Bounded; the least recently used goes first.

    An entry is believed for `hub.max_age_s`: a minute while announcements are heard, else one second.
    """

    def __init__(self, *, size: int = MAX_REMEMBERED) -> None:
        self._size = size
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._keys: OrderedDict[UUID, tuple[OpenKey, float]] = OrderedDict()
        self._active: OrderedDict[tuple[UUID, str], tuple[UUID, float]] = OrderedDict()
        self.generation = 0

    def get(self, key_id: UUID) -> OpenKey | None:
        """The remembered key, unless it is too old to be believed."""
        with self._lock:
            found = self._keys.get(key_id)
            if found is None or time.monotonic() - found[1] > hub.max_age_s:
                return None
            self._keys.move_to_end(key_id)
            return found[0]

    def active(self, tenant_id: UUID, purpose: str) -> OpenKey | None:
        """The remembered active key of a purpose."""
        with self._lock:
            found = self._active.get((tenant_id, purpose))
        if found is None or time.monotonic() - found[1] > hub.max_age_s:
            return None
        return self.get(found[0])

    def put(self, key: OpenKey, *, active: bool, generation: int) -> None:
        """Remember, unless something was forgotten since `generation` was read: the key may be older than that."""
        now = time.monotonic()
        with self._lock:
            if generation != self.generation:
                return
            self._keys[key.id] = (key, now)
            self._keys.move_to_end(key.id)
            if active:
                self._active[key.tenant_id, key.purpose] = (key.id, now)
            while len(self._keys) > self._size:
                self._keys.popitem(last=False)
            while len(self._active) > self._size:
                self._active.popitem(last=False)

    def forget(self, tenant_id: UUID | None = None) -> None:
        """Forget a tenant's keys; without a tenant, all of them."""
        with self._lock:
            self.generation += 1
            for key_id in [i for i, (key, _at) in self._keys.items() if tenant_id in (None, key.tenant_id)]:
                del self._keys[key_id]
            for place in [place for place in self._active if tenant_id in (None, place[0])]:
                del self._active[place]

    def hear(self, topic: str, key: str) -> None:
        """What the hub announces."""
        if topic == "key":
            self.forget(UUID(key))
        elif topic == EVERYTHING:
            self.forget()

    def after_fork(self) -> None:
        """A lock that another thread held at the fork would never be free in the child."""
        self._begin()


def _expand(data_key: bytes, info: bytes) -> bytes:
    return HKDFExpand(algorithm=SHA256(), length=DERIVED_BYTES, info=info).derive(data_key)


memory = Memory()
hub.subscribe(memory.hear)
os.register_at_fork(after_in_child=memory.after_fork)
