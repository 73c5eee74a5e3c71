"""Models are loaded from sealed artifacts: not while keys are away, again once they are back, never once destroyed."""

from __future__ import annotations

import asyncio

import pytest
from django.db import transaction

from governance.keys import keyring
from governance.keys.errors import KeysUnavailable
from governance.keys.memory import memory
from governance.keys.models import DataKey, KeyState
from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.rollouts.selectors import endpoint_snapshot
from inference.serving import pool as pools
from inference.serving.runtime import LoadError, OnnxRuntime
from inference.serving.signature import Signature
from tests.factories.inference import adding_model, make_endpoint, make_version

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def arm(org, principal_for):
    admin = principal_for(org, Role.TENANT_ADMIN)
    endpoint = make_endpoint(admin, make_version(admin))
    memory.forget()
    return endpoint_snapshot(org.id, endpoint.name).arms[0]


def load(arm, *attempts):
    """What each attempt gives: the loaded version, or the reason against it. `attempts` are done before each."""

    async def run():
        pool, found = pools.ModelPool(), []
        for prepare in attempts:
            prepare()
            try:
                found.append((await pool.get(arm)).version)
            except LoadError as error:
                found.append(str(error))
        await pool.close()
        return found

    return asyncio.run(run())


def test_a_model_is_served_again_by_itself_once_the_keys_are_back(arm, monkeypatch):
    monkeypatch.setattr(pools, "RETRY_LOAD_AFTER_S", 0)

    def away(row):
        raise KeysUnavailable("away")

    refused, served = load(
        arm,
        lambda: monkeypatch.setattr(keyring, "unwrap", away),
        lambda: monkeypatch.undo() or memory.forget(),
    )
    assert "The keys are out of reach for the moment" in refused
    assert served == arm.version


def test_a_model_whose_key_is_destroyed_is_never_served_again(arm, org):
    with tenant_context(org.id), transaction.atomic():
        DataKey.objects.filter(purpose="artifact").update(state=KeyState.DESTROYED, wrapped=b"")
    (refused,) = load(arm, memory.forget)
    assert "destroyed on purpose" in refused


def test_sealed_and_plain_files_are_loaded_alike(arm, tmp_path):
    plain = tmp_path / "model.onnx"
    plain.write_bytes(adding_model())
    signature = Signature.declared(arm.inputs, arm.outputs)
    for file in (arm.artifact_path, plain):
        OnnxRuntime.load(file, sha256=arm.sha256, signature=signature).close()
