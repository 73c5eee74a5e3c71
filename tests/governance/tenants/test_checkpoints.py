"""Background work ends when who caused it may no longer have it done, and says so."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from celery import Celery
from django.db import transaction
from django.utils import timezone

from governance.access import hub_caches
from governance.access.grants import give_grant, take_grant
from governance.access.hub import hub
from governance.access.services import disable_application, set_user_active, suspend_tenant
from governance.audit.models import AuditEntry
from governance.principals import SYSTEM, Role
from governance.tenants.checkpoints import Cause, Revoked, caused_by, checkpoint, current_cause
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Membership
from governance.tenants.tasks import HEADER, TenantTask
from tests.factories.governance import make_application
from tests.factories.inference import make_endpoint, make_version

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

CREATE = "serving.batch.create"


@pytest.fixture
def developer(org, principal_for):
    return principal_for(org, Role.DEVELOPER)


def heard(topic: str) -> None:
    """This process's hub is not listening in tests; say what it would have heard."""
    hub.dispatch(topic, "")


def refusals() -> list[str]:
    with platform_scope(), transaction.atomic():
        return list(
            AuditEntry.objects.filter(decision="deny").order_by("at").values_list("reason", flat=True)
        )


def test_a_cause_survives_its_message(developer):
    from governance.refs import ObjectRef

    cause = Cause.of(developer, CREATE, ObjectRef("rollouts.endpoint", "1"))
    assert Cause.from_header(json.loads(json.dumps(cause.as_header()))) == cause
    assert Cause.from_header(json.loads(json.dumps(Cause.house(None).as_header()))) == Cause.house(None)


@pytest.mark.parametrize("header", [{"kind": "user"}, {"kind": "user", "id": "x", "more": 1}, {"id": "x"}])
def test_a_header_that_is_none_is_refused(header):
    with pytest.raises(TypeError):
        Cause.from_header(header)


def disable_user(principal, org):
    with platform_scope():
        set_user_active(principal=SYSTEM, user_id=principal.user_id, active=False)
    return "membership"


def remove_role(principal, org):
    with platform_scope(), transaction.atomic():
        Membership.objects.filter(user_id=principal.user_id).delete()
    return "membership"


def suspend(principal, org):
    with platform_scope():
        suspend_tenant(principal=SYSTEM, tenant_id=org.id, reason="test")
    return "tenant"


@pytest.mark.parametrize("revoke", [disable_user, remove_role, suspend])
def test_a_person_who_may_no_longer_act_ends_it(developer, org, revoke):
    cause = Cause.of(developer)
    checkpoint(cause)
    topic = revoke(developer, org)
    heard(topic)
    with pytest.raises(Revoked) as ended:
        checkpoint(cause)
    assert refusals() == [str(ended.value)]
    with pytest.raises(Revoked):
        checkpoint(cause)
    assert len(refusals()) == 1, "told once, not at every step"


def test_a_role_that_ends_by_itself_ends_it_though_nobody_announces_it(developer, org, monkeypatch):
    monkeypatch.setattr("governance.access.hub.Hub.max_age_s", 1e6)
    ends_at = timezone.now() + timedelta(minutes=30)
    role = Membership.objects.filter(user_id=developer.user_id)
    with platform_scope(), transaction.atomic():
        role.update(expires_at=ends_at)
    cause = Cause.of(developer)
    checkpoint(cause)
    with platform_scope(), transaction.atomic():
        role.update(expires_at=timezone.now() - timedelta(seconds=1))
    checkpoint(cause)  # remembered: the clock has not come so far
    monkeypatch.setattr(hub_caches, "time", SimpleNamespace(time=lambda: ends_at.timestamp()))
    with pytest.raises(Revoked):
        checkpoint(cause)


def test_a_programs_grant_is_asked_for_again(org, principal_for):
    admin = principal_for(org, Role.TENANT_ADMIN)
    endpoint = make_endpoint(admin, make_version(admin))
    application, _secret = make_application(org, scopes=["batch:write"])
    with platform_scope(), transaction.atomic():
        give_grant(user=application.service_user, permission="rollouts.invoke_endpoint", target=endpoint)
    cause = Cause(
        kind="client",
        id=str(application.id),
        tenant_id=org.id,
        scopes=("batch:write",),
        action=CREATE,
        target_type="rollouts.endpoint",
        target_id=str(endpoint.id),
    )
    checkpoint(cause)
    with platform_scope(), transaction.atomic():
        take_grant(user=application.service_user, permission="rollouts.invoke_endpoint", target=endpoint)
    heard("grant")
    with pytest.raises(Revoked, match="grant"):
        checkpoint(cause)


def test_a_disabled_program_ends_it(org):
    application, _secret = make_application(org, scopes=["batch:write"])
    cause = Cause(kind="client", id=str(application.id), tenant_id=org.id)
    checkpoint(cause)
    with platform_scope():
        disable_application(principal=SYSTEM, application_id=application.id)
    heard("application")
    with pytest.raises(Revoked):
        checkpoint(cause)


def test_the_houses_own_work_passes_unless_its_tenant_is_suspended(org):
    checkpoint()
    checkpoint(Cause.house(None))
    checkpoint(Cause.house(org.id))
    suspend(SYSTEM, org)
    heard("tenant")
    checkpoint(Cause.house(None))
    with pytest.raises(Revoked):
        checkpoint(Cause.house(org.id))


class TestTask:
    """The base class of every task."""

    @pytest.fixture
    def app(self):
        return Celery("test", task_cls=TenantTask, set_as_current=False)

    def run(self, task, cause, org, **kwargs):
        header = {"tenant": str(org.id), "platform": False, "request_id": "r", "cause": cause.as_header()}
        task.push_request(headers={HEADER: header})
        try:
            return task(**kwargs)
        finally:
            task.pop_request()

    def test_the_cause_travels_on_to_what_the_task_queues(self, app, org, developer):
        @app.task(name="t.cause")
        def task():
            return current_cause()

        assert self.run(task, Cause.of(developer), org) == Cause.of(developer)

    def test_it_does_not_start_and_the_job_is_told_why(self, app, org, developer):
        ran, told = [], []

        @app.task(name="t.start", when_revoked=staticmethod(lambda reason, **kw: told.append((reason, kw))))
        def task(job_id):
            ran.append(job_id)

        disable_user(developer, org)
        self.run(task, Cause.of(developer), org, job_id="7")
        assert ran == []
        assert told == [(refusals()[-1], {"job_id": "7"})]

    def test_it_ends_at_its_next_checkpoint(self, app, org, developer):
        done, told = [], []

        @app.task(name="t.steps", when_revoked=staticmethod(lambda reason: told.append(reason)))
        def task():
            for step in range(3):
                done.append(step)
                if step == 1:
                    heard(disable_user(developer, org))
                checkpoint()

        self.run(task, Cause.of(developer), org)
        assert done == [0, 1]
        assert len(told) == 1


def test_enqueue_says_who_caused_it(org, developer, monkeypatch):
    from celery import current_app

    from governance.tenants.tasks import enqueue

    sent = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **more: sent.append(more["headers"][HEADER]))
    with tenant_context(org.id):
        enqueue("x")
        with caused_by(Cause.of(developer)):
            enqueue("x")
            enqueue("x", cause=Cause.house(None))
    causes = [Cause.from_header(header["cause"]) for header in sent]
    assert causes == [Cause.house(org.id), Cause.of(developer), Cause.house(None)]


class TestBatch:
    """A batch job is cancelled, says why, and keeps nothing half-done."""

    def test_a_running_job_ends_when_its_creator_may_no_longer(self, org, developer, principal_for, settings):
        from inference.serving.batch import ending, files, planning, worker
        from inference.serving.batch.services import create_batch_job
        from inference.serving.models import BatchJob, BatchShard

        settings.BATCH_SHARD_ROWS = 2
        admin = principal_for(org, Role.TENANT_ADMIN)
        endpoint = make_endpoint(admin, make_version(admin))
        with tenant_context(org.id):
            job = create_batch_job(
                principal=developer,
                endpoint_name=endpoint.name,
                filename="a.jsonl",
                chunks=[b"[1,2,3]\n" * 4],
            )
            planning.plan(job.id)
            with transaction.atomic():
                first, second = BatchShard.objects.order_by("index")
            worker.run_shard(first.id)
            heard(remove_role(developer, org))
            with pytest.raises(Revoked) as ended:
                worker.run_shard(second.id)
            ending.end_revoked(str(ended.value), shard_id=second.id)
            with transaction.atomic():
                job = BatchJob.objects.get(pk=job.pk)
                states = {shard.state for shard in job.shards.all()}
        assert (job.state, job.error) == ("cancelled", str(ended.value))
        assert states == {"done", "cancelled"}
        assert not files.STORAGE.place.names(f"{job.tenant_id}/batch/{job.id}/shards", after="", limit=1)
        assert not files.result_path(job).exists()
