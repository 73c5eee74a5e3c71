"""Rotation touches no data; what was sealed before stays readable; first use makes one key, whoever comes first."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from django.db import connection, transaction

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, NotFound
from governance.keys import envelopes, keyring, selectors, services
from governance.keys.errors import KeysUnavailable
from governance.keys.memory import memory
from governance.keys.models import DataKey, KeyState, WrappingKey
from governance.keys.providers import provider_named
from governance.keys.usage import usage
from governance.principals import SYSTEM, Role
from governance.tenants.checkpoints import Cause, caused_by
from governance.tenants.context import platform_scope, tenant_context

PURPOSE = "test.secret"


def seal(org, object_id="1"):
    with tenant_context(org.id):
        return envelopes.seal(b"seed", tenant_id=org.id, purpose=PURPOSE, object_id=object_id)


def unseal(org, blob, object_id="1"):
    with tenant_context(org.id):
        return envelopes.unseal(blob, tenant_id=org.id, purpose=PURPOSE, object_id=object_id)


@pytest.fixture
def admin(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.mark.django_db
def test_a_new_wrapping_key_wraps_every_data_key_and_touches_no_data(org, admin):
    blob = seal(org)
    with tenant_context(org.id):
        services.rotate_data_key(principal=admin, tenant_id=org.id, purpose=PURPOSE)
        before = {row.id: bytes(row.wrapped) for row in DataKey.objects.all()}
        new = services.rotate_wrapping_key(principal=admin, tenant_id=org.id, reason="yearly")
        assert services.rewrap(org.id) == 2
        assert services.rewrap(org.id) == 0
        rows = DataKey.objects.all()
        assert {row.wrapping_key_id for row in rows} == {new.id}
        assert all(bytes(row.wrapped) != before[row.id] for row in rows)
        assert list(WrappingKey.objects.values_list("number", "state")) == [(2, "active"), (1, "retired")]
    assert unseal(org, blob) == b"seed"


@pytest.mark.django_db
def test_a_new_data_key_seals_from_now_on_and_the_old_one_still_opens(org, admin):
    old = seal(org)
    with tenant_context(org.id):
        row = services.rotate_data_key(principal=admin, tenant_id=org.id, purpose=PURPOSE)
        new = seal(org)
        assert envelopes.data_key_of(new) == row.id != envelopes.data_key_of(old)
        with pytest.raises(NotFound):
            services.rotate_data_key(principal=admin, tenant_id=org.id, purpose="never.used")
    assert unseal(org, old) == unseal(org, new) == b"seed"


@pytest.mark.django_db
def test_only_administrators_of_the_tenant_rotate(org, other_org, principal_for):
    seal(org)
    for principal in (
        principal_for(org, Role.DEVELOPER),
        principal_for(org, Role.AUDITOR),
        principal_for(other_org, Role.TENANT_ADMIN),
    ):
        for call in (
            lambda p=principal: services.rotate_wrapping_key(principal=p, tenant_id=org.id),
            lambda p=principal: services.rotate_data_key(principal=p, tenant_id=org.id, purpose=PURPOSE),
            lambda p=principal: services.re_encrypt(principal=p, tenant_id=org.id),
        ):
            with platform_scope(), pytest.raises(AccessDenied):
                call()
    with tenant_context(org.id):
        assert WrappingKey.objects.count() == 1


@pytest.mark.django_db
def test_keys_that_are_old_or_much_used_are_rotated_by_themselves(org, settings):
    seal(org)
    assert services.rotate_due() == 0
    with tenant_context(org.id):
        DataKey.objects.update(uses=services.MAX_USES)
        assert services.rotate_due() == 1
        assert DataKey.objects.get(state=KeyState.ACTIVE).number == 2
        DataKey.objects.update(created_at="2020-01-01T00:00Z")
        assert services.rotate_due() == 1


@pytest.mark.django_db
def test_a_damaged_data_key_is_named_and_keeps_no_other_waiting(org, other_org, admin, monkeypatch):
    monkeypatch.setattr(services, "REWRAP_BATCH", 2)
    with tenant_context(org.id):
        for purpose in ("a", "b", "c"):
            envelopes.seal(b"x", tenant_id=org.id, purpose=purpose, object_id="1")
        damaged = DataKey.objects.order_by("id").first()
        whole = bytes(damaged.wrapped)
        DataKey.objects.filter(pk=damaged.pk).update(wrapped=whole[:-1] + bytes([whole[-1] ^ 1]))
        services.rotate_wrapping_key(principal=admin, tenant_id=org.id)
    seal(other_org)
    with platform_scope():
        services.rotate_wrapping_key(principal=SYSTEM, tenant_id=other_org.id)
    assert [services.rewrap_all() for _ in range(2)] == [3, 0]
    with platform_scope():
        assert [p for p in selectors.problems() if f"{damaged.purpose} 1" in p and "sealed-altered" in p]
        refused = AuditEntry.objects.filter(action="keys.data_key.rewrap", decision="deny")
        assert [(e.target_id, e.reason) for e in refused] == [(str(damaged.id), "sealed-altered")]
        DataKey.objects.filter(pk=damaged.pk).update(wrapped=whole)
    assert services.rewrap_all() == 1
    with tenant_context(org.id):
        assert set(DataKey.objects.values_list("problem", flat=True)) == {""}


@pytest.mark.django_db
def test_a_tenant_whose_keys_are_away_keeps_no_other_waiting(org, other_org, monkeypatch):
    for tenant in (org, other_org):
        seal(tenant)
        with tenant_context(tenant.id):
            services.rotate_wrapping_key(principal=SYSTEM, tenant_id=tenant.id)
    memory.forget()
    first = min(org.id, other_org.id)
    real = keyring.unwrap

    def unwrap(row):
        if row.tenant_id == first:
            raise KeysUnavailable("away")
        return real(row)

    monkeypatch.setattr(keyring, "unwrap", unwrap)
    assert services.rewrap_all() == 1
    monkeypatch.undo()
    assert services.rewrap_all() == 1


@pytest.mark.django_db
def test_a_key_that_cannot_be_rotated_keeps_no_other_waiting(org, other_org, monkeypatch):
    for tenant in (org, other_org):
        seal(tenant)
    with platform_scope():
        DataKey.objects.update(uses=services.MAX_USES)
    real = keyring.wrap

    def wrap(row, *args):
        if row.tenant_id == org.id:
            raise KeysUnavailable("away")
        return real(row, *args)

    monkeypatch.setattr(keyring, "wrap", wrap)
    assert services.rotate_due() == 1
    monkeypatch.undo()
    assert services.rotate_due() == 1


@pytest.mark.django_db
def test_a_key_that_the_house_makes_says_whose_work_needed_it(org, admin):
    with caused_by(Cause.of(admin)):
        seal(org)
    with tenant_context(org.id):
        made = AuditEntry.objects.filter(action="keys.data_key.create").get()
    assert (made.actor_kind, made.details["asked_by"]) == ("system", f"user {admin.id}")


@pytest.mark.django_db
def test_uses_are_counted_behind_the_work(org):
    for _ in range(3):
        seal(org)
    usage.flush()
    with tenant_context(org.id):
        row = DataKey.objects.get()
    assert (row.uses, row.sealed_bytes) == (3, 12)


@pytest.mark.django_db
def test_making_and_rotating_are_in_the_audit_log_and_no_key_is(org, admin):
    seal(org)
    with tenant_context(org.id):
        services.rotate_wrapping_key(principal=admin, tenant_id=org.id, reason="yearly")
        entries = AuditEntry.objects.filter(action__startswith="keys.")
        assert {e.action for e in entries} == {
            "keys.wrapping_key.create",
            "keys.data_key.create",
            "keys.wrapping_key.rotate",
        }
        wrapped = bytes(DataKey.objects.get().wrapped)
        data_key = keyring.unwrap(DataKey.objects.select_related("wrapping_key").get())
    text = "".join(str(e.details) for e in entries)
    assert wrapped.hex() not in text
    assert data_key.hex() not in text


@pytest.mark.django_db
def test_keys_move_from_files_to_a_token_without_touching_data(org, admin, token, settings):
    blob = seal(org)
    settings.OPENCLAW_KEY_PROVIDER = "pkcs11"
    settings.OPENCLAW_PKCS11 = {
        "module": token.address.module,
        "pin_file": token.address.pin_file,
        "token": token.address.token,
    }
    assert unseal(org, blob) == b"seed"
    with tenant_context(org.id):
        assert services.rotate_wrapping_key(principal=admin, tenant_id=org.id).provider == "pkcs11"
        services.rewrap(org.id)
        old = WrappingKey.objects.get(state=KeyState.RETIRED)
    provider_named("software").destroy_wrapping_key(old.reference)
    memory.forget()
    assert unseal(org, blob) == b"seed"


@pytest.mark.django_db(transaction=True)
def test_a_rewrap_that_a_token_interrupts_is_taken_up_again(org, admin, token_in_use, monkeypatch):
    monkeypatch.setattr(services, "REWRAP_BATCH", 1)
    with tenant_context(org.id):
        for purpose in ("a", "b", "c"):
            envelopes.seal(b"x", tenant_id=org.id, purpose=purpose, object_id="1")
        services.rotate_wrapping_key(principal=admin, tenant_id=org.id)
    real, calls = keyring.wrap, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 2:
            token_in_use.remove()
        return real(*args)

    monkeypatch.setattr(keyring, "wrap", interrupted)
    with pytest.raises(KeysUnavailable):
        services.rewrap(org.id)
    token_in_use.restore()
    monkeypatch.setattr("governance.keys.providers.connection.PAUSE_S", 0)
    threading.Event().wait(0.6)
    assert services.rewrap_all() == 2
    with tenant_context(org.id), transaction.atomic():
        assert set(DataKey.objects.values_list("wrapping_key__number", flat=True)) == {2}


FIRST_USE = """
import sys, django
django.setup()
from uuid import UUID
from governance.keys import envelopes
from governance.tenants.context import tenant_context
tenant = UUID(sys.argv[1])
sys.stdin.readline()
with tenant_context(tenant):
    for purpose in ("test.one", "test.two"):
        sys.stdout.write(envelopes.seal(b"x", tenant_id=tenant, purpose=purpose, object_id="1").hex() + "\\n")
"""


@pytest.mark.django_db(transaction=True)
def test_several_processes_that_come_first_make_one_key(org, services):
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", FIRST_USE, str(org.id)],
            env=os.environ | services.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    blobs = [
        bytes.fromhex(line) for process in processes for line in process.communicate(timeout=120)[0].split()
    ]
    assert len(blobs) == 8
    with tenant_context(org.id), transaction.atomic():
        assert WrappingKey.objects.count() == 1
        assert {(k.purpose, k.number) for k in DataKey.objects.all()} == {("test.one", 1), ("test.two", 1)}
        assert {envelopes.data_key_of(blob) for blob in blobs} == set(
            DataKey.objects.values_list("id", flat=True)
        )


@pytest.mark.django_db(transaction=True)
def test_a_key_made_in_a_transaction_that_is_rolled_back_is_not_remembered(org):
    with tenant_context(org.id):
        with pytest.raises(RuntimeError, match="undo"), transaction.atomic():
            seal(org)
            raise RuntimeError("undo")
        blob = seal(org)
    memory.forget()
    assert unseal(org, blob) == b"seed"


@pytest.mark.django_db(transaction=True)
def test_reading_goes_on_while_keys_are_rotated(org, admin):
    blobs = [seal(org)]
    wrong, stop = [], threading.Event()

    def read():
        try:
            while not stop.is_set():
                for blob in list(blobs):
                    if unseal(org, blob) != b"seed":
                        wrong.append(blob)
                blobs.append(seal(org)) if len(blobs) < 50 else None
        except Exception as error:  # noqa: BLE001  told by the test's own thread
            wrong.append(error)
        finally:
            connection.close()

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(5):
        with tenant_context(org.id):
            services.rotate_data_key(principal=admin, tenant_id=org.id, purpose=PURPOSE)
            services.rotate_wrapping_key(principal=admin, tenant_id=org.id)
            services.rewrap(org.id)
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong
    memory.forget()
    assert all(unseal(org, blob) == b"seed" for blob in blobs)
