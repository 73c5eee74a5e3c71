"""Sealed streams: any length, any part, and no way to move, drop or add a chunk."""

from __future__ import annotations

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.keys import envelopes, streams
from governance.keys.errors import (
    Altered,
    Extended,
    NotSealed,
    Truncated,
    UnknownKey,
    Unsealable,
    WrongPurpose,
)
from governance.tenants.context import tenant_context

pytestmark = pytest.mark.django_db
CHUNK = 1 << streams.SMALLEST_CHUNK
SEALED_CHUNK = CHUNK + streams.TAG_BYTES
HEADER = streams.HEADER_BYTES
SAME_FIXTURES = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
# Around the borders of chunks, where mistakes live.
SIZES = st.one_of(
    st.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1]),
    st.integers(0, 4 * CHUNK),
)


@pytest.fixture(autouse=True)
def scope(org):
    with tenant_context(org.id):
        yield


@pytest.fixture
def binding(org):
    return {"tenant_id": org.id, "purpose": "test.artifact", "object_id": "model-1"}


def content(size):
    return bytes(i * 7 % 251 for i in range(251)) * (size // 251) + bytes(size % 251)


def sealed(data, binding):
    out = io.BytesIO()
    streams.seal_stream(Trickle(data), out, **binding, chunk_power=streams.SMALLEST_CHUNK)
    return out.getvalue()


def opened(blob, binding):
    out = io.BytesIO()
    assert envelopes.unseal_stream(Trickle(blob), out, **binding) == len(out.getvalue())
    return out.getvalue()


def read_whole(blob, binding):
    with envelopes.open_sealed(io.BytesIO(blob), **binding) as file:
        return file.read()


class Trickle(io.BytesIO):
    """Gives less than it is asked for, as sockets do."""

    def read(self, size=-1):
        return super().read(min(size, 10_007) if size > 0 else size)


@SAME_FIXTURES
@given(size=SIZES)
def test_what_is_sealed_comes_back(binding, size):
    data = content(size)
    blob = sealed(data, binding)
    assert opened(blob, binding) == data
    assert read_whole(blob, binding) == data
    assert streams.Header.decoded(blob).plain_size(len(blob)) == size


@SAME_FIXTURES
@given(size=SIZES, start=st.integers(0, 5 * CHUNK), length=st.integers(0, 2 * CHUNK))
def test_any_range_can_be_read(binding, size, start, length):
    data = content(size)
    with envelopes.open_sealed(io.BytesIO(sealed(data, binding)), **binding) as file:
        file.seek(start)
        assert file.read(length) == data[start : start + length]
        file.seek(-min(size, 5), io.SEEK_END)
        assert file.read() == data[size - min(size, 5) :]


@SAME_FIXTURES
@given(size=SIZES, position=st.integers(0), bit=st.integers(0, 7))
def test_every_bit_counts(binding, size, position, bit):
    blob = bytearray(sealed(content(size), binding))
    position %= len(blob)
    blob[position] ^= 1 << bit
    for read in (opened, read_whole):
        with pytest.raises(Unsealable) as refused:
            read(bytes(blob), binding)
        if position < 4:
            assert type(refused.value) is NotSealed
        elif position < 20:
            assert type(refused.value) is UnknownKey
        elif position > 20:
            assert type(refused.value) is Altered


@SAME_FIXTURES
@given(size=st.integers(1, 3 * CHUNK), cut=st.integers(0))
def test_a_cut_stream_is_refused_wherever_it_is_cut(binding, size, cut):
    blob = sealed(content(size), binding)
    blob = blob[: cut % len(blob)]
    for read in (opened, read_whole):
        with pytest.raises((Truncated, Altered)):
            read(blob, binding)


@pytest.mark.parametrize("read", [opened, read_whole])
def test_each_attack_on_the_order_is_named(binding, read):
    blob = sealed(content(3 * CHUNK), binding)
    header, a, b, c = blob[:HEADER], *(blob[HEADER + i * SEALED_CHUNK :][:SEALED_CHUNK] for i in range(3))
    assert read(header + a + b + c, binding)
    for tampered, problem in (
        (header + a + b, Truncated),
        (header, Truncated),
        (header + b + a + c, Altered),
        (header + a + a + b + c, Altered),
        (header + a + c, Altered),
        (header + a + b + c + c, (Extended, Altered)),
        (header + a + b + c + b"\0" * 100, (Extended, Altered)),
        (header + a + b + c + b"\0" * 16, (Extended, Altered)),
    ):
        with pytest.raises(problem):
            read(tampered, binding)


def test_a_chunk_of_another_stream_of_the_same_object_does_not_fit(binding):
    one, two = (sealed(content(2 * CHUNK), binding) for _ in range(2))
    mixed = one[: HEADER + SEALED_CHUNK] + two[HEADER + SEALED_CHUNK :]
    with pytest.raises(Altered):
        opened(mixed, binding)


@pytest.mark.parametrize("read", [opened, read_whole])
def test_another_object_purpose_or_tenant_cannot_open_it(binding, other_org, read):
    blob = sealed(b"weights", binding)
    with pytest.raises(Altered):
        read(blob, binding | {"object_id": "model-2"})
    with pytest.raises(WrongPurpose):
        read(blob, binding | {"purpose": "test.other"})
    with tenant_context(other_org.id), pytest.raises(UnknownKey):
        read(blob, binding | {"tenant_id": other_org.id})


def test_a_message_is_no_stream_and_a_stream_is_no_message(binding):
    with pytest.raises(NotSealed):
        opened(envelopes.seal(b"x", **binding), binding)
    with pytest.raises(NotSealed):
        envelopes.unseal(sealed(b"x", binding), **binding)


def test_a_file_that_cannot_be_opened_is_closed(binding, tmp_path):
    path = tmp_path / "sealed"
    path.write_bytes(sealed(b"weights", binding))
    with envelopes.open_sealed(path, **binding) as file:
        assert file.read() == b"weights"
    with pytest.raises(Altered):
        envelopes.open_sealed(path, **(binding | {"object_id": "model-2"}))
