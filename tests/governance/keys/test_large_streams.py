"""Two gigabytes through both directions, in the memory of a few chunks."""

from __future__ import annotations

import resource

import pytest

from governance.keys import envelopes, streams
from governance.tenants.context import tenant_context

pytestmark = pytest.mark.django_db
SIZE = 2 * 1024**3
MOST_GROWTH_KB = 64 * 1024


class Generated:
    """A reader of `size` bytes that are nowhere at once."""

    def __init__(self, size):
        self.left = size
        self.block = bytes(1 << 20)

    def read(self, size):
        part = memoryview(self.block)[: min(size, self.left)]
        self.left -= len(part)
        return bytes(part) if len(part) < len(self.block) else self.block


class Opener:
    """Takes sealed chunks and opens each at once: the other direction, without a file of two gigabytes."""

    def __init__(self, **binding):
        self.binding = binding
        self.opened = self.written = self.index = 0
        self.held = None
        self.cipher = None

    def write(self, piece):
        self.written += len(piece)
        if self.cipher is None:
            header = streams.Header.decoded(piece)
            key = streams.key_for_reading(header.key_id, self.binding["tenant_id"], self.binding["purpose"])
            self.cipher = streams.StreamCipher(key, header, streams.Binding(**self.binding))
            return
        if self.held is not None:
            self.open(last=False)
        self.held = piece

    def open(self, *, last):
        self.opened += len(self.cipher.open(self.held, self.index, last=last))
        self.index += 1


def test_two_gigabytes_pass_in_bounded_memory(org):
    binding = {"tenant_id": org.id, "purpose": "test.artifact", "object_id": "large"}
    with tenant_context(org.id):
        warm_up = Opener(**binding)
        envelopes.seal_stream(Generated(8 << 20), warm_up, **binding, chunk_power=streams.LARGEST_CHUNK)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sink = Opener(**binding)
        written = envelopes.seal_stream(Generated(SIZE), sink, **binding, chunk_power=streams.LARGEST_CHUNK)
        sink.open(last=True)
        growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert sink.opened == SIZE
    chunks = SIZE >> streams.LARGEST_CHUNK
    assert written == sink.written == streams.HEADER_BYTES + SIZE + chunks * streams.TAG_BYTES
    assert growth < MOST_GROWTH_KB
