"""A plugin with a high-risk purpose in a tenant: bound to the approval of its archive, and to its conditions."""

from __future__ import annotations

import pytest
from django.db import transaction

from governance.errors import AccessDenied, Conflict
from governance.ethics.models import Approval, Binding
from governance.ethics.services import decide_approval, void_approvals
from governance.ethics.use import Use
from governance.oversight.tasking import decide_task
from governance.oversight.withholding import Rejected, WaitsForAPerson
from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from inference.registry import services as registry
from inference.registry.models import ModelVersion
from inference.rollouts.models import Endpoint
from inference.rollouts.selectors import endpoint_snapshot
from inference.rollouts.services import create_endpoint, set_split
from marketplace.installs import completing, services
from marketplace.installs.models import Installation
from marketplace.review.advancing import advance_submission
from skills.library.models import SkillVersion
from skills.runtime.services import invoke_skill
from tests.factories.marketplace import (
    QUESTIONNAIRE,
    acting,
    approve,
    package,
    publish,
    run_checks,
    upload,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey", "site")]


@pytest.fixture
def install(partner, reviewer, second_reviewer, officer, keeper):
    """Publish a high-risk plugin under these conditions and install it; returns its submission."""

    def make(*conditions, version="1.0.0"):
        data = package(version=version, purpose="medical-diagnosis", data_labels=["health"])
        submission = run_checks(upload(partner, data, questionnaire=QUESTIONNAIRE))
        submission = approve(submission, reviewer, second_reviewer)
        with acting(officer):
            with transaction.atomic():
                approval = Approval.objects.get(subject_id=str(submission.id))
            decide_approval(
                principal=officer,
                approval_id=approval.id,
                approve=True,
                reason="Good.",
                conditions=conditions,
            )
        advance_submission(submission_id=submission.id)
        submission = publish(submission)
        with platform_scope(), transaction.atomic():
            present = Installation.objects.first()
        wanted = {"principal": keeper, "plugin_version_id": submission.version.id, "grants": []}
        with acting(keeper):
            installation = (
                services.upgrade(installation_id=present.id, **wanted)
                if present
                else services.install(**wanted)
            )
        completing.complete(installation_id=installation.id)
        return submission

    return make


def arms(org):
    with tenant_context(org.id), transaction.atomic():
        snapshot = endpoint_snapshot(org.id, "scorer")
    return [] if snapshot is None else [(arm.version, arm.weight) for arm in snapshot.arms]


def test_what_it_brings_is_bound_to_the_approval_of_its_archive(install, org, partner):
    submission = install()
    with tenant_context(org.id), transaction.atomic():
        bound = {row.object_type: row for row in Binding.objects.all()}
        assert set(bound) == {"registry.modelversion", "library.skillversion"}
        assert {row.subject_digest for row in bound.values()} == {submission.sha256}
        assert all(row.in_force for row in bound.values())
        assert bound["registry.modelversion"].object_id == str(ModelVersion.objects.get().id)
        assert bound["library.skillversion"].object_id == str(SkillVersion.objects.get().id)
    assert arms(org) == [("1.0.0", 100)]
    with platform_scope():
        void_approvals(principal=partner, subject=submission.ref, reason="A grave fault.")
    assert arms(org) == [], "without its approval the version takes no traffic"


def test_a_worker_that_dies_between_two_steps_leaves_nothing_usable_without_its_approval(
    install, org, partner, monkeypatch
):
    class Killed(BaseException):
        pass

    def die(**_arguments):
        raise Killed

    monkeypatch.setattr(completing, "create_endpoint", die)
    with pytest.raises(Killed):
        install()
    with tenant_context(org.id), transaction.atomic():
        version = ModelVersion.objects.get()
        assert version.state == "ready"
        assert Binding.objects.get().object_id == str(version.id)


def test_a_failing_binding_leaves_no_version(install, org, monkeypatch):
    monkeypatch.setattr(registry, "bind", lambda **_arguments: (_ for _ in ()).throw(Conflict("no")))
    install()
    with tenant_context(org.id), transaction.atomic():
        assert not ModelVersion.objects.exists()


def test_a_skill_without_an_approval_is_not_called(install, org, partner, keeper):
    submission = install()
    with platform_scope():
        void_approvals(principal=partner, subject=submission.ref, reason="A grave fault.")
    with tenant_context(org.id), pytest.raises(AccessDenied, match="needs an ethics approval"):
        invoke_skill(principal=keeper, name="double", payload={})


def test_a_call_above_the_amount_waits_for_a_person_and_then_runs_once(install, org, keeper, principal_for):
    install({"kind": "person_confirms_above", "value": 100})

    def call(amount, n=21):
        with tenant_context(org.id):
            return invoke_skill(principal=keeper, name="double", payload={"number": n}, use=Use("", amount))

    def say(task_id, answer):
        clerk = principal_for(org, Role.DATA_SCIENTIST)
        with tenant_context(org.id):
            decide_task(principal=clerk, task_id=task_id, answer=answer, reason="as it should be")

    assert call(100).output == {"number": 42}
    with pytest.raises(WaitsForAPerson) as waiting:
        call(101)
    with pytest.raises(WaitsForAPerson) as again:
        call(101)
    assert waiting.value.task_id == again.value.task_id
    say(waiting.value.task_id, "confirm")
    with pytest.raises(WaitsForAPerson):
        call(101, n=22)
    with pytest.raises(WaitsForAPerson):
        call(102)
    assert call(101).output == {"number": 42}
    with pytest.raises(WaitsForAPerson) as next_one:
        call(101)
    assert next_one.value.task_id != waiting.value.task_id, "a confirmation is for one run"
    say(next_one.value.task_id, "reject")
    with pytest.raises(Rejected, match="as it should be"):
        call(101)


def test_a_version_with_a_capped_share_gets_no_endpoint_of_its_own_but_its_share(install, org, keeper):
    install({"kind": "traffic_share_at_most", "value": 20})
    with tenant_context(org.id):
        with transaction.atomic():
            version = ModelVersion.objects.get()
            assert not Endpoint.objects.exists()
        with pytest.raises(AccessDenied, match="at most 20 percent"):
            create_endpoint(principal=keeper, name="scorer", model_version_id=version.id)


def test_traffic_moves_only_as_far_as_the_approval_says(install, org, keeper):
    install()
    install({"kind": "traffic_share_at_most", "value": 20}, version="1.1.0")
    with tenant_context(org.id):
        with transaction.atomic():
            endpoint = Endpoint.objects.get()
        with pytest.raises(AccessDenied, match="at most 20 percent"):
            set_split(principal=keeper, endpoint_id=endpoint.id, weights={"1.0.0": 70, "1.1.0": 30})
        set_split(principal=keeper, endpoint_id=endpoint.id, weights={"1.0.0": 80, "1.1.0": 20})
    assert arms(org) == [("1.0.0", 80), ("1.1.0", 20)]


def test_an_ordinary_plugin_is_bound_to_nothing(partner, reviewer, keeper, org):
    submission = publish(approve(run_checks(upload(partner, package())), reviewer))
    with acting(keeper):
        installation = services.install(principal=keeper, plugin_version_id=submission.version.id, grants=[])
    completing.complete(installation_id=installation.id)
    with tenant_context(org.id), transaction.atomic():
        assert not Binding.objects.exists()
    assert arms(org) == [("1.0.0", 100)]
