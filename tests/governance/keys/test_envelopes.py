"""Sealed messages open as what they are, for whom they are, and as nothing else."""

from __future__ import annotations

import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.keys import envelopes
from governance.keys.errors import Altered, NotSealed, Truncated, UnknownKey, Unsealable, WrongPurpose
from governance.keys.models import DataKey, WrappingKey
from governance.tenants.context import platform_scope, tenant_context

pytestmark = pytest.mark.django_db
SAME_FIXTURES = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


def sealed(org, data=b"seed", purpose="test.secret", object_id="1"):
    return envelopes.seal(data, tenant_id=org.id, purpose=purpose, object_id=object_id)


def opened(org, blob, purpose="test.secret", object_id="1"):
    return envelopes.unseal(blob, tenant_id=org.id, purpose=purpose, object_id=object_id)


@pytest.fixture(autouse=True)
def scope(org):
    with tenant_context(org.id):
        yield


@SAME_FIXTURES
@given(data=st.binary(max_size=5000), object_id=st.text(min_size=1, max_size=50))
def test_what_is_sealed_comes_back(org, data, object_id):
    blob = sealed(org, data, object_id=object_id)
    assert len(blob) == len(data) + envelopes.OVERHEAD_BYTES
    assert opened(org, blob, object_id=object_id) == data


def test_two_sealings_of_the_same_never_look_alike(org):
    assert sealed(org)[envelopes.HEADER_BYTES :] != sealed(org)[envelopes.HEADER_BYTES :]


@SAME_FIXTURES
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_every_bit_counts(org, position, bit):
    blob = bytearray(sealed(org, b"a message of some length"))
    position %= len(blob)
    blob[position] ^= 1 << bit
    with pytest.raises(Unsealable) as refused:
        opened(org, bytes(blob))
    wanted = NotSealed if position < 4 else UnknownKey if position < 20 else Altered
    assert type(refused.value) is wanted


@SAME_FIXTURES
@given(length=st.integers(0, 10_000))
def test_a_shorter_or_longer_message_is_refused(org, length):
    blob = sealed(org, b"a message of some length")
    cut = blob[: length % len(blob)]
    with pytest.raises(Truncated if len(cut) < envelopes.OVERHEAD_BYTES else Altered):
        opened(org, cut)
    with pytest.raises(Altered):
        opened(org, blob + b"\0")


def test_another_object_purpose_or_tenant_cannot_open_it(org, other_org):
    blob = sealed(org)
    with pytest.raises(Altered):
        opened(org, blob, object_id="2")
    with pytest.raises(WrongPurpose):
        opened(org, blob, purpose="test.other")
    with tenant_context(other_org.id), pytest.raises(UnknownKey):
        opened(other_org, blob)
    with platform_scope(), pytest.raises(UnknownKey):
        opened(other_org, blob)


def test_parts_of_the_binding_cannot_be_shifted_into_each_other(org):
    blob = sealed(org, purpose="a", object_id="bc")
    DataKey.objects.filter(purpose="a").update(purpose="ab")
    with pytest.raises(Altered):
        opened(org, blob, purpose="ab", object_id="c")


def test_outside_its_scope_a_tenants_key_does_not_exist_even_when_it_is_remembered(org, other_org):
    blob = sealed(org)
    assert opened(org, blob) == b"seed"
    with tenant_context(other_org.id), pytest.raises(UnknownKey):
        opened(org, blob)
    with tenant_context(other_org.id), pytest.raises(UnknownKey):
        sealed(org)
    with platform_scope():
        assert opened(org, blob) == b"seed"


def test_a_key_for_each_purpose_under_one_wrapping_key(org):
    sealed(org)
    sealed(org)
    sealed(org, purpose="test.other")
    assert {(k.purpose, k.number) for k in DataKey.objects.all()} == {("test.secret", 1), ("test.other", 1)}
    (wrapping,) = WrappingKey.objects.all()
    assert wrapping.uses == 2


def test_a_missing_key_is_told_apart_from_altered_bytes(org):
    blob = bytearray(sealed(org))
    blob[4:20] = uuid.uuid4().bytes
    with pytest.raises(UnknownKey):
        opened(org, bytes(blob))


def test_a_data_key_moved_to_another_row_does_not_open(org):
    sealed(org)
    blob = sealed(org, purpose="test.other")
    DataKey.objects.filter(purpose="test.other").update(
        wrapped=DataKey.objects.get(purpose="test.secret").wrapped
    )
    with pytest.raises(Altered):
        opened(org, blob, purpose="test.other")


def test_what_belongs_to_no_single_tenant_is_the_platforms(org, platform):
    blob = envelopes.seal_for_platform(b"seed", purpose="identity.factor", object_id="person")
    assert envelopes.unseal_for_platform(blob, purpose="identity.factor", object_id="person") == b"seed"
    with platform_scope():
        assert DataKey.objects.get(purpose="identity.factor").tenant_id == platform.id
    with pytest.raises(Altered):
        envelopes.unseal_for_platform(blob, purpose="identity.factor", object_id="someone else")


@pytest.mark.parametrize("purpose", ["", "Big", "a b", "x" * 61, "../x"])
def test_odd_purposes_are_refused(org, purpose):
    with pytest.raises(ValueError, match="purpose"):
        sealed(org, purpose=purpose)
    with pytest.raises(ValueError, match="object"):
        sealed(org, object_id="")


def test_messages_of_any_sizes_after_one_another_keep_to_themselves(org):
    kept = envelopes.KEPT_BYTES
    messages = [os.urandom(size) for size in (0, 70_000, 5, kept - envelopes.OVERHEAD_BYTES, kept, 3)]
    blobs = [sealed(org, data) for data in messages]
    assert [len(blob) for blob in blobs] == [len(data) + envelopes.OVERHEAD_BYTES for data in messages]
    assert [opened(org, blob) for blob in blobs] == messages


def test_each_thread_seals_in_a_buffer_of_its_own():
    mine = envelopes._scratch.of(10).obj
    with ThreadPoolExecutor(1) as other:
        assert other.submit(lambda: envelopes._scratch.of(10).obj).result() is not mine
    assert envelopes._scratch.of(9).obj is mine
    assert envelopes._scratch.of(envelopes.KEPT_BYTES + 1).obj is not envelopes._scratch.of(9).obj
