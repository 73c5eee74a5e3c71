"""Destroying a tenant's keys: two people, everywhere within a second, and for ever."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.db import IntegrityError, transaction

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, IllegalTransition, InvalidInput, NotFound
from governance.ids import uuid7
from governance.keys import envelopes, services
from governance.keys.errors import KeyDestroyed, UnknownKey
from governance.keys.models import DataKey, Destruction, KeyState, WrappingKey
from governance.keys.providers import SoftwareKeyProvider, provider
from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context

PURPOSE = "test.secret"


def seal(org):
    with tenant_context(org.id):
        return envelopes.seal(b"seed", tenant_id=org.id, purpose=PURPOSE, object_id="1")


def unseal(org, blob):
    with tenant_context(org.id):
        return envelopes.unseal(blob, tenant_id=org.id, purpose=PURPOSE, object_id="1")


@pytest.fixture
def first(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def second(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


def destroy(org, first, second):
    with tenant_context(org.id):
        asked = services.request_destruction(principal=first, tenant_id=org.id, reason="contract ended")
        return services.confirm_destruction(principal=second, destruction_id=asked.id)


@pytest.mark.django_db
def test_what_was_sealed_can_never_be_read_again(org, first, second):
    blob = seal(org)
    with tenant_context(org.id):
        reference = WrappingKey.objects.get().reference
    destroy(org, first, second)
    with pytest.raises(KeyDestroyed, match="never be read again") as refused:
        unseal(org, blob)
    assert refused.value.status == 410
    with tenant_context(org.id):
        assert bytes(DataKey.objects.get().wrapped) == b""
    assert services.erase_destroyed() == 1
    assert services.erase_destroyed() == 0
    with pytest.raises(UnknownKey):
        provider().wrap(reference, b"x", b"")
    with tenant_context(org.id):
        row = WrappingKey.objects.get()
        assert (row.state, row.destroyed_by_id) == (KeyState.DESTROYED, second.user_id)
        actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"keys.destruction.request", "keys.key.destroy", "keys.wrapping_key.erase"} <= actions


@pytest.mark.django_db
def test_new_data_gets_new_keys(org, first, second):
    old = seal(org)
    destroy(org, first, second)
    new = seal(org)
    assert unseal(org, new) == b"seed"
    with pytest.raises(KeyDestroyed):
        unseal(org, old)
    with tenant_context(org.id):
        assert DataKey.objects.get(state=KeyState.ACTIVE).number == 2


@pytest.mark.django_db
def test_nobody_destroys_alone(org, other_org, first, principal_for):
    blob = seal(org)
    with tenant_context(org.id):
        asked = services.request_destruction(principal=first, tenant_id=org.id, reason="contract ended")
        with pytest.raises((AccessDenied, Conflict)):
            services.confirm_destruction(principal=first, destruction_id=asked.id)
        for principal in (principal_for(org, Role.AUDITOR), principal_for(other_org, Role.TENANT_ADMIN)):
            with pytest.raises(AccessDenied):
                services.confirm_destruction(principal=principal, destruction_id=asked.id)
        with pytest.raises(IntegrityError), transaction.atomic():
            Destruction.objects.filter(pk=asked.id).update(state="confirmed", decided_by=first.user_id)
    assert unseal(org, blob) == b"seed"


@pytest.mark.django_db
def test_a_request_can_be_taken_back(org, first, second):
    blob = seal(org)
    with tenant_context(org.id):
        asked = services.request_destruction(principal=first, tenant_id=org.id, reason="contract ended")
        with pytest.raises(Conflict, match="already"):
            services.request_destruction(principal=second, tenant_id=org.id, reason="contract ended")
        services.withdraw_destruction(principal=second, destruction_id=asked.id)
        with pytest.raises(IllegalTransition):
            services.confirm_destruction(principal=second, destruction_id=asked.id)
    assert unseal(org, blob) == b"seed"


@pytest.mark.django_db
def test_what_cannot_be_asked_for(org, platform, first, principal_for):
    with tenant_context(org.id):
        with pytest.raises(Conflict, match="no keys"):
            services.request_destruction(principal=first, tenant_id=org.id, reason="contract ended")
        seal(org)
        with pytest.raises(InvalidInput, match="reason"):
            services.request_destruction(principal=first, tenant_id=org.id, reason="  ")
        with pytest.raises(NotFound):
            services.confirm_destruction(principal=first, destruction_id=uuid7())
    with platform_scope(), pytest.raises(InvalidInput, match="platform"):
        services.request_destruction(
            principal=principal_for(platform, Role.PLATFORM_ADMIN), tenant_id=platform.id, reason="why not"
        )


@pytest.mark.django_db
def test_a_token_that_is_away_is_told_later(org, first, second, token_in_use, monkeypatch):
    blob = seal(org)
    token_in_use.remove()
    destroy(org, first, second)
    with pytest.raises(KeyDestroyed):
        unseal(org, blob)
    assert services.erase_destroyed() == 0
    token_in_use.restore()
    monkeypatch.setattr(provider()._token, "_paused_until", 0)
    assert services.erase_destroyed() == 1


@pytest.mark.django_db
def test_a_key_that_cannot_be_erased_keeps_no_other_waiting(org, other_org, monkeypatch):
    for tenant in (org, other_org):
        seal(tenant)
    with platform_scope():
        WrappingKey.objects.update(state=KeyState.DESTROYED)
        blocked = WrappingKey.objects.order_by("id").first()
    real = SoftwareKeyProvider.destroy_wrapping_key

    def destroy_wrapping_key(self, name):
        if name == blocked.reference:
            raise PermissionError(13, "Permission denied")
        real(self, name)

    monkeypatch.setattr(SoftwareKeyProvider, "destroy_wrapping_key", destroy_wrapping_key)
    assert services.erase_destroyed() == 1
    monkeypatch.undo()
    assert services.erase_destroyed() == 1
    assert services.erase_destroyed() == 0


READER = """
import sys, time, django
django.setup()
from uuid import UUID
from governance.access.hub import hub
from governance.keys import envelopes
from governance.keys.errors import KeyDestroyed
from governance.tenants.context import tenant_context
tenant, blob = UUID(sys.argv[1]), bytes.fromhex(sys.argv[2])
assert hub.start(wait_s=20) or True
with tenant_context(tenant):
    def read():
        return envelopes.unseal(blob, tenant_id=tenant, purpose="test.secret", object_id="1")
    assert read() == b"seed"
    print("reading", flush=True)
    try:
        while True:
            read()
            time.sleep(0.01)
    except KeyDestroyed:
        print("destroyed", flush=True)
"""


@pytest.mark.django_db(transaction=True)
def test_every_process_hears_of_it(org, first, second, services):
    from governance.keys.services import confirm_destruction, request_destruction

    blob = seal(org)
    readers = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", READER, str(org.id), blob.hex()],
            env=os.environ | services.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        assert [reader.stdout.readline() for reader in readers] == ["reading\n"] * 2
        with tenant_context(org.id):
            asked = request_destruction(principal=first, tenant_id=org.id, reason="contract ended")
            confirm_destruction(principal=second, destruction_id=asked.id)
        assert [reader.communicate(timeout=30)[0] for reader in readers] == ["destroyed\n"] * 2
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
