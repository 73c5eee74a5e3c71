"""A job is judged between its steps by what it was admitted with: its token's scopes, its purpose and its amount."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from django.db import transaction

from governance.access.hub import hub
from governance.access.models import Application
from governance.access.principals import verified_token
from governance.access.services import disable_application
from governance.ethics.services import void_approvals
from governance.ethics.use import Use
from governance.principals import SYSTEM, Role
from governance.refs import ObjectRef
from governance.tenants.checkpoints import Cause, Revoked, checkpoint
from governance.tenants.context import platform_scope, tenant_context
from inference.rollouts import services as rollouts
from inference.rollouts.selectors import endpoint_snapshot
from inference.serving.batch.services import cause_of
from inference.serving.models import BatchJob
from tests.factories.governance import bearer_token, make_application
from tests.governance.ethics import steps
from tests.inference.serving.batch.jobs import compute, rows, start

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def asked_again(job):
    """What a worker asks between two steps, once its hub has heard of a change."""
    hub.dispatch("policy", "")
    hub.dispatch("application", "")
    with tenant_context(job.tenant_id):
        with transaction.atomic():
            cause = cause_of(BatchJob.objects.get(pk=job.pk))
        assert Cause.from_header(json.loads(json.dumps(cause.as_header()))) == cause
        checkpoint(cause)


class TestAmounts:
    """A person confirms above 1,000, which is said when the jobs are under way."""

    @pytest.fixture
    def limit_comes(self, admin, endpoint, principal_for, partner_org, platform):
        partner, officer = (
            principal_for(partner_org, Role.PARTNER),
            principal_for(platform, Role.ETHICS_OFFICER),
        )
        with tenant_context(endpoint.tenant_id), transaction.atomic():
            arm = endpoint_snapshot(endpoint.tenant_id, endpoint.name).arms[0]
        steps.bind(
            admin.tenant_id, ObjectRef("registry.modelversion", str(arm.version_id), arm.sha256, "adder")
        )
        steps.decide(officer, steps.ask(partner), conditions=[])

        def come():
            with platform_scope():
                void_approvals(principal=officer, subject=steps.subject(), reason="A limit was forgotten.")
            limit = [{"kind": "person_confirms_above", "value": 1_000}]
            steps.decide(officer, steps.ask(partner), conditions=limit)

        return come

    def test_a_job_below_goes_on_and_one_above_ends(self, admin, limit_comes):
        below, above = (start(admin, rows(1), use=Use("", amount)) for amount in (1_000, 1_001))
        for job in (below, above):
            asked_again(job)
        limit_comes()
        asked_again(below)
        with pytest.raises(Revoked, match="person-confirms"):
            asked_again(above)
        assert compute(below).state == "succeeded"

    def test_an_amount_that_nobody_named_counts_as_above(self, admin, limit_comes):
        job = start(admin, rows(1))
        asked_again(job)
        limit_comes()
        with pytest.raises(Revoked, match="the request names none"):
            asked_again(job)


class TestScopes:
    @pytest.fixture
    def program(self, org, admin, endpoint):
        application, secret = make_application(org, scopes=["batch:write", "models:infer"])
        with tenant_context(org.id):
            rollouts.grant_invoke(principal=admin, endpoint_id=endpoint.id, application_id=application.id)
        return application, verified_token(bearer_token(application, secret)).principal

    def allow(self, application, *scopes):
        with platform_scope(), transaction.atomic():
            Application.objects.filter(pk=application.pk).update(allowed_scopes=list(scopes))

    def test_a_programs_job_ends_with_the_scope_that_admitted_it(self, program):
        application, principal = program
        job = start(principal, rows(1))
        assert (job.scopes, job.application_id) == (["batch:write", "models:infer"], application.id)
        asked_again(job)
        self.allow(application, "batch:write")
        asked_again(job)
        self.allow(application, "models:infer")
        with pytest.raises(Revoked, match="batch:write"):
            asked_again(job)

    def test_a_scope_that_the_token_lacked_does_not_help_later(self, program):
        _application, principal = program
        job = start(principal, rows(1))
        with tenant_context(job.tenant_id), transaction.atomic():
            BatchJob.objects.filter(pk=job.pk).update(scopes=["models:infer"])
        with pytest.raises(Revoked, match="batch:write"):
            asked_again(job)

    def test_a_job_of_an_earlier_release_has_what_its_program_may_have_now(self, program):
        application, principal = program
        job = start(principal, rows(1))
        with tenant_context(job.tenant_id), transaction.atomic():
            BatchJob.objects.filter(pk=job.pk).update(scopes=None, application_id=None)
        asked_again(job)
        self.allow(application, "models:infer")
        with pytest.raises(Revoked, match="batch:write"):
            asked_again(job)

    def test_a_persons_job_by_an_application_ends_with_the_applications_scope(self, program, admin):
        application, _principal = program
        person = replace(admin, scopes=frozenset({"batch:write"}), application_id=application.id)
        job, own = start(person, rows(1)), start(admin, rows(2))
        asked_again(job)
        self.allow(application, "models:infer")
        with pytest.raises(Revoked, match="batch:write"):
            asked_again(job)
        asked_again(own)

    def test_and_with_the_application(self, program, admin):
        application, _principal = program
        person = replace(admin, scopes=frozenset({"batch:write"}), application_id=application.id)
        job = start(person, rows(1))
        with platform_scope():
            disable_application(principal=SYSTEM, application_id=application.id)
        with pytest.raises(Revoked, match="batch:write"):
            asked_again(job)
