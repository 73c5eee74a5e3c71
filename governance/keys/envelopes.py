"""Sealing: bytes that only their tenant, for their purpose, as their object, can open again.

A sealed message is AES-256-GCM (NIST SP 800-38D) with a fresh random nonce:

    offset  bytes
    0       4      magic `OCE` and the format version, 1
    4       16     id of the data key (UUID)
    20      12     nonce
    32      n + 16 ciphertext and tag

The associated data are the first 20 bytes, the tenant's id, the purpose and the object's id, each with its length.
Sealed streams, for anything larger than a few megabytes, stand in `governance.keys.streams`.

A key that this process has not used lately is looked up in the database, so none of this is called on an event loop.
"""

from __future__ import annotations

import os
import threading
from uuid import UUID

from cryptography.exceptions import InvalidTag

from governance.audit.services import platform_tenant_id
from governance.keys.errors import Altered, NotSealed, Truncated
from governance.keys.incidents import noticed
from governance.keys.keyring import key_for_reading, key_for_sealing
from governance.keys.streams import Binding, open_sealed, seal_stream, unseal_stream
from governance.keys.usage import usage
from governance.tenants.context import platform_scope

__all__ = [
    "data_key_of",
    "open_sealed",
    "resealed",
    "seal",
    "seal_for_platform",
    "seal_stream",
    "unseal",
    "unseal_for_platform",
    "unseal_stream",
]

MAGIC = b"OCE\x01"
NONCE_BYTES = 12
TAG_BYTES = 16
HEADER_BYTES = len(MAGIC) + 16
OVERHEAD_BYTES = HEADER_BYTES + NONCE_BYTES + TAG_BYTES
KEPT_BYTES = 2 << 20


class _Scratch(threading.local):
    """A buffer of each thread for sealing, which only ever holds ciphertext. Larger ones than it keeps are new."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def of(self, size: int) -> memoryview:
        """The first `size` bytes. They are the caller's until it calls again."""
        if size > KEPT_BYTES:
            return memoryview(bytearray(size))
        if len(self._kept) < size:
            self._kept = bytearray(size)
        return memoryview(self._kept)[:size]


_scratch = _Scratch()


def seal(data: bytes, *, tenant_id: UUID, purpose: str, object_id: str) -> bytes:
    """Seal `data`; it grows by 48 bytes. Raises KeysUnavailable.

    The caller acts in the tenant's row scope or in platform scope. A tenant's first key is made here.
    """
    binding = Binding(tenant_id, purpose, object_id)
    key = key_for_sealing(tenant_id, purpose)
    usage.note(key, len(data))
    header = MAGIC + key.id.bytes
    nonce = os.urandom(NONCE_BYTES)
    # Sealed in place, in memory that the thread has touched before: the pages of a new buffer cost as much as the
    # encryption itself, and the answer is a new one already.
    with _scratch.of(len(data) + OVERHEAD_BYTES) as sealed:
        sealed[: HEADER_BYTES + NONCE_BYTES] = header + nonce
        key.cipher.encrypt_into(nonce, data, binding.aad(header), sealed[HEADER_BYTES + NONCE_BYTES :])
        return bytes(sealed)


def unseal(blob: bytes, *, tenant_id: UUID, purpose: str, object_id: str) -> bytes:
    """Open what `seal` made. Raises a subclass of Unsealable, KeyDestroyed or KeysUnavailable."""
    with noticed(tenant_id, purpose, object_id):
        return _opened(blob, Binding(tenant_id, purpose, object_id))


def seal_for_platform(data: bytes, *, purpose: str, object_id: str) -> bytes:
    """Like `seal`, with the platform's own key: for what belongs to no single tenant, whoever asks."""
    with platform_scope():
        return seal(data, tenant_id=platform_tenant_id(), purpose=purpose, object_id=object_id)


def unseal_for_platform(blob: bytes, *, purpose: str, object_id: str) -> bytes:
    """Open what `seal_for_platform` made."""
    with platform_scope():
        return unseal(blob, tenant_id=platform_tenant_id(), purpose=purpose, object_id=object_id)


def resealed(blob: bytes, *, tenant_id: UUID, purpose: str, object_id: str) -> bytes | None:
    """The same content sealed with the active key; None when that key has sealed `blob` already."""
    if data_key_of(blob) == key_for_sealing(tenant_id, purpose).id:
        return None
    data = unseal(blob, tenant_id=tenant_id, purpose=purpose, object_id=object_id)
    return seal(data, tenant_id=tenant_id, purpose=purpose, object_id=object_id)


def data_key_of(blob: bytes) -> UUID:
    """The id of the data key that a sealed message says it needs. Raises NotSealed or Truncated."""
    if blob[: len(MAGIC)] != MAGIC[: len(blob)]:
        raise NotSealed
    if len(blob) < HEADER_BYTES:
        raise Truncated
    return UUID(bytes=bytes(blob[len(MAGIC) : HEADER_BYTES]))


def _opened(blob: bytes, binding: Binding) -> bytes:
    key_id = data_key_of(blob)
    if len(blob) < OVERHEAD_BYTES:
        raise Truncated
    key = key_for_reading(key_id, binding.tenant_id, binding.purpose)
    header, nonce = blob[:HEADER_BYTES], blob[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES]
    try:
        ciphertext = memoryview(blob)[HEADER_BYTES + NONCE_BYTES :]
        return key.cipher.decrypt(nonce, ciphertext, binding.aad(header))
    except InvalidTag as error:
        raise Altered from error
