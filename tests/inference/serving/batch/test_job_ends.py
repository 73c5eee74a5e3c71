"""Batch jobs whose model leaves service or whose keys are away, and files of other attempts and releases."""

from __future__ import annotations

import pytest
from django.db import transaction

from governance.access.hub import hub
from governance.errors import Conflict
from governance.keys import keyring
from governance.keys import services as keys
from governance.keys.errors import KeysUnavailable
from governance.keys.memory import memory
from governance.keys.models import DataKey, KeyState
from governance.oversight.ruling import save_rule
from governance.refs import ObjectRef
from governance.tenants.checkpoints import Revoked
from governance.tenants.context import tenant_context
from inference.serving.batch import files, in_service, loading, planning, progress, worker
from inference.serving.batch.steps import answer
from inference.serving.models import BatchJob, BatchShard
from tests.inference.serving.batch.jobs import compute, content, hold, names, rows, start

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def test_a_model_that_was_taken_out_of_service_computes_nothing(admin, endpoint, org):
    job = start(admin, rows(3))
    hold(job)
    done = compute(job)
    assert done.state == "failed"
    assert "out of service" in done.error
    with tenant_context(org.id), transaction.atomic():
        assert [shard.attempts for shard in done.shards.all()] == [0]


def test_a_model_that_is_taken_out_of_service_stops_between_two_steps(admin, endpoint, org, monkeypatch):
    job = start(admin, rows(40))
    computed = []

    def predict(*args, **kwargs):
        computed.append(1)
        if len(computed) == 2:
            hold(job)
            in_service._states.forget()  # what the announcement does in a process that listens
        return answer(*args, **kwargs)

    monkeypatch.setattr(worker, "answer", predict)
    done = compute(job)
    assert (done.state, len(computed)) == ("failed", 2)
    assert "out of service" in done.error
    assert len(names(done)) == 1, "nothing half-done is kept beside the input"


def test_a_job_under_way_ends_when_unsure_answers_must_wait_for_a_person(admin, endpoint, org, monkeypatch):
    job = start(admin, rows(40))
    computed = []

    def predict(*args, **kwargs):
        computed.append(1)
        if len(computed) == 2:
            with tenant_context(org.id):
                save_rule(
                    principal=admin,
                    target=ObjectRef.of(endpoint),
                    tenant_id=org.id,
                    question="Is it right?",
                    options=(),
                    confidence_below=0.9,
                    output="y",
                    due_minutes=30,
                    withhold=True,
                )
            hub.dispatch("policy", "")  # what a worker's hub hears
        return answer(*args, **kwargs)

    monkeypatch.setattr(worker, "answer", predict)
    with pytest.raises(Revoked, match=r"withhold-below:0\.9:y"):
        compute(job)
    assert len(computed) == 2
    assert len(names(job)) == 1, "nothing half-done is kept beside the input"


def test_a_shard_waits_for_keys_that_are_away_and_its_attempt_does_not_count(
    admin, endpoint, org, monkeypatch
):
    loading.unload_all()
    job = start(admin, rows(3))
    with tenant_context(org.id):
        planning.plan(job.id)
        with transaction.atomic():
            (shard,) = BatchShard.objects.filter(job=job)
        memory.forget()
        with monkeypatch.context() as away:
            away.setattr(keyring, "unwrap", lambda row: (_ for _ in ()).throw(KeysUnavailable("away")))
            for _ in range(progress.MAX_ATTEMPTS + 1):
                worker.run_shard(shard.id)
        with transaction.atomic():
            shard.refresh_from_db()
        assert (shard.state, shard.attempts) == ("waiting", 0)
    done = compute(job)
    assert (done.state, done.rows_ok) == ("succeeded", 3)


def test_the_files_of_destroyed_keys_end_the_job_with_a_reason(admin, endpoint, org):
    loading.unload_all()
    job = start(admin, rows(3))
    with tenant_context(org.id), transaction.atomic():
        DataKey.objects.filter(purpose=files.PURPOSE).update(state=KeyState.DESTROYED, wrapped=b"")
    memory.forget()
    done = compute(job)
    assert done.state == "failed" and "destroyed on purpose" in done.error


def test_files_of_an_earlier_release_are_read_and_sealed_by_re_encryption(admin, endpoint, org):
    done = compute(start(admin, rows(3)))
    whole = content(done)
    with tenant_context(org.id), transaction.atomic():
        files.result_path(done).delete()
        BatchJob.objects.update(result_id=None)
    done.result_id = None
    plain = files.result_path(done).earlier
    plain.parent.mkdir(parents=True, exist_ok=True)
    plain.write_bytes(b"something else")
    with pytest.raises(Conflict, match="changed on disk"):
        content(done)
    plain.write_bytes(whole)
    assert content(done) == whole
    with tenant_context(org.id):
        again = keys.re_encrypt(principal=admin, tenant_id=org.id, purpose=files.PURPOSE)
        keys.step(again.id, org.id, limit_s=3600)
    assert not plain.exists()
    assert content(done) == whole
    assert len(names(done)) == 2
