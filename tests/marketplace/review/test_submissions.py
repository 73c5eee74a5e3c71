"""What people may do with submissions, and what the database itself refuses."""

from __future__ import annotations

import io

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from governance.errors import AccessDenied, Conflict, IllegalTransition, InvalidInput, NotFound, TooLarge
from governance.ethics.models import Approval
from governance.ethics.services import decide_approval, is_approved
from governance.principals import Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from marketplace.catalog.models import PluginVersion
from marketplace.catalog.quarantine import STORAGE
from marketplace.review import checking, contents, selectors, services
from marketplace.review.advancing import advance_submission
from marketplace.review.lifecycle import due_date
from marketplace.review.models import CheckRun, ReviewDecision, Submission
from marketplace.review.settings import set_check
from tests.factories.governance import proven
from tests.factories.marketplace import (
    ANSWERS,
    EVIDENCE,
    QUESTIONNAIRE,
    acting,
    approve,
    package,
    reload,
    run_checks,
    upload,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey", "site")]
ASKS_SECRET = {
    "permissions": {
        "network": {"allow": []},
        "files": {"read": [], "write": []},
        "secrets": ["API_KEY"],
        "tools": [],
    }
}
HIGH = {"purpose": "medical-diagnosis", "data_labels": ["health"]}


def test_the_same_bytes_are_one_submission(partner):
    data = package()
    assert upload(partner, data).id == upload(partner, data).id


def test_a_version_number_under_way_or_a_name_of_others_is_refused_at_once(
    partner, reviewer, principal_for, make_tenant
):
    run_checks(upload(partner))
    with pytest.raises(Conflict) as refused:
        upload(partner, package(files={"NOTES.md": "other bytes"}))
    assert refused.value.code == "version-taken"
    other = principal_for(make_tenant("rival", kind="partner"), Role.PARTNER)
    with pytest.raises(Conflict) as refused:
        upload(other, package(version="2.0.0"))
    assert refused.value.code == "name-taken"


def test_too_large_leaves_nothing_behind(partner, settings, site):
    settings.PLUGIN_UPLOAD_MAX_BYTES = 100
    with pytest.raises(TooLarge):
        upload(partner)
    assert not list(site.rglob("*.zip"))
    assert not STORAGE.place.names(STORAGE.root(partner.tenant_id), after="", limit=1)


def test_a_refused_package_says_why_and_its_number_is_free_again(partner):
    failed = run_checks(upload(partner, package(files={"models/evil.pkl": b"\x80\x04cos\nsystem\n."})))
    assert failed.state == "checks_failed"
    with acting(partner), transaction.atomic():
        view = selectors.view_of(failed, principal=partner)
    assert view.whose_turn == "publisher"
    rejected = [check for check in view.checks if check.status == "REJECTED"]
    assert rejected and all(check.message and not check.measures for check in rejected)
    assert any(finding.path == "models/evil.pkl" for check in rejected for finding in check.findings)
    assert run_checks(upload(partner)).state == "waiting_for_review"


def test_rubbish_is_refused_by_the_checks_not_by_a_crash(partner):
    assert run_checks(upload(partner, b"this is no archive")).state == "checks_failed"


def test_an_error_fails_closed_and_can_be_retried(partner):
    submission = upload(partner)
    with platform_scope(), transaction.atomic():
        run = CheckRun.objects.get(submission=submission, name="model-dry-run")
        CheckRun.objects.filter(pk=run.pk).update(state="done", status="ERROR")
    assert run_checks(submission).state == "check_error"
    with acting(partner):
        services.retry_check(principal=partner, submission_id=submission.id, name="model-dry-run")
    assert run_checks(submission).state == "waiting_for_review"
    with acting(partner), pytest.raises(Conflict):
        services.retry_check(principal=partner, submission_id=submission.id)


def test_a_check_that_is_not_enforced_only_tells(partner, administrator):
    with acting(administrator):
        set_check(
            principal=administrator, name="artifact-format", enabled=True, enforced=False, required=False
        )
        set_check(principal=administrator, name="secrets", enabled=False, enforced=True, required=True)
    submission = upload(partner, package(files={"models/evil.pkl": b"\x80\x04cos\nsystem\n."}))
    submission = run_checks(submission)
    with platform_scope(), transaction.atomic():
        names = set(submission.check_runs.values_list("name", flat=True))
    assert "secrets" not in names
    assert submission.state == "waiting_for_review"


def test_nobody_reviews_an_own_submission(partner, platform, member):
    """The person behind the upload is also a reviewer of the platform: same account, other tenant."""
    from governance.access.principals import principal_for_user
    from governance.tenants.models import Membership, User

    submission = run_checks(upload(partner))
    with platform_scope(), transaction.atomic():
        person = User.objects.get(pk=partner.accountable_user_id)
        Membership.objects.create(user=person, tenant=platform, role=Role.REVIEWER)
    as_reviewer = principal_for_user(person, tenant_id=platform.id, signals=proven())
    with acting(as_reviewer):
        with pytest.raises(Conflict) as refused:
            services.claim(principal=as_reviewer, submission_id=submission.id)
        assert refused.value.code == "own-submission"
        with transaction.atomic():
            assert not selectors.queue(principal=as_reviewer).exists()


def test_the_database_refuses_what_the_services_would(partner, reviewer):
    submission = run_checks(upload(partner))
    mine, other = partner.accountable_user_id, reviewer.accountable_user_id

    def insert(submitted_by, by):
        with platform_scope(), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO review_reviewdecision (id, tenant_id, submission_id, submitted_by_id, reviewer_id, "
                "approve, reason, sha256, decided_at) VALUES "
                "(gen_random_uuid(), %s, %s, %s, %s, true, 'x', 'x', now())",
                [submission.tenant_id, submission.id, submitted_by, by],
            )

    with pytest.raises(IntegrityError, match="review_reviewer_is_not_submitter"):
        insert(mine, mine)
    with pytest.raises(IntegrityError, match="review_decision_submitter"):
        insert(other, mine)  # a made-up submitter
    insert(mine, other)
    with pytest.raises(IntegrityError, match="review_one_decision_each"):
        insert(mine, other)
    with pytest.raises(Exception, match="append-only"), platform_scope(), transaction.atomic():
        ReviewDecision.objects.update(approve=False)
    with pytest.raises(Exception, match="append-only"), platform_scope(), transaction.atomic():
        submission.events.all().delete()


def test_high_risk_needs_two_different_reviewers(partner, reviewer, second_reviewer):
    submission = run_checks(upload(partner, package(**HIGH), questionnaire=QUESTIONNAIRE))
    assert (submission.risk_level, submission.approvals_needed) == ("high", 2)
    assert approve(submission, reviewer).state == "second_review"
    with acting(reviewer), pytest.raises(Conflict) as refused:
        services.claim(principal=reviewer, submission_id=submission.id)
    assert refused.value.code == "second-reviewer"
    assert approve(submission, second_reviewer).state == "waiting_for_ethics"


def test_the_ethics_office_decides_about_exactly_these_bytes(partner, reviewer, second_reviewer, officer):
    submission = run_checks(upload(partner, package(**HIGH)))
    with acting(partner), transaction.atomic():
        assert selectors.turn_of(submission)[0] == "publisher"  # the questionnaire is missing
        with pytest.raises(InvalidInput):
            services.answer_questionnaire(
                principal=partner, submission_id=submission.id, questionnaire={"data": "short"}
            )
    without_card = {kind: document for kind, document in EVIDENCE.items() if kind != "model_card"}
    with acting(partner):
        services.answer_questionnaire(
            principal=partner,
            submission_id=submission.id,
            questionnaire={"answers": ANSWERS, "evidence": without_card},
        )
    submission = approve(submission, reviewer, second_reviewer)
    assert submission.state == "waiting_for_ethics"
    advance_submission(submission_id=submission.id)
    assert reload(submission).state == "waiting_for_ethics"
    with acting(officer):
        with transaction.atomic():
            approval = Approval.objects.get()
            card = approval.evidence.get(kind="model_card")
            assert "Intended use" in card.summary["sections"], "it was taken from the package"
        decide_approval(principal=officer, approval_id=approval.id, approve=True, reason="Oversight is real.")
        with transaction.atomic():
            assert is_approved(submission.ref)
            assert not is_approved(ObjectRef(submission.ref.type, submission.ref.id, "0" * 64))
    advance_submission(submission_id=submission.id)
    advance_submission(submission_id=submission.id)
    submission = reload(submission)
    assert (submission.state, submission.version.state) == ("approved", "approved")


def test_a_refusal_of_the_ethics_office_ends_the_submission(partner, reviewer, officer):
    submission = run_checks(upload(partner, package(**HIGH), questionnaire=QUESTIONNAIRE))
    with acting(officer):
        with transaction.atomic():
            approval = Approval.objects.get()
        decide_approval(principal=officer, approval_id=approval.id, approve=False, reason="No oversight.")
    advance_submission(submission_id=submission.id)
    submission = reload(submission)
    assert (submission.state, submission.version.state) == ("rejected", "rejected")


def test_a_claim_keeps_others_out_until_it_runs_out(partner, reviewer, second_reviewer):
    submission = run_checks(upload(partner))
    with acting(reviewer):
        services.claim(principal=reviewer, submission_id=submission.id)
    with acting(second_reviewer):
        with pytest.raises(Conflict):
            services.claim(principal=second_reviewer, submission_id=submission.id)
        with pytest.raises(Conflict):
            services.decide(principal=second_reviewer, submission_id=submission.id, approve=True, reason="x")
        with transaction.atomic():
            Submission.objects.update(claim_expires_at=timezone.now())
        claimed = services.claim(principal=second_reviewer, submission_id=submission.id)
        assert claimed.claimed_by_id == second_reviewer.accountable_user_id
        released = services.release_claim(principal=second_reviewer, submission_id=submission.id)
        assert released.state == "waiting_for_review"


def test_a_refusal_needs_a_reason_that_the_publisher_reads(partner, reviewer):
    submission = run_checks(upload(partner))
    with acting(reviewer):
        services.claim(principal=reviewer, submission_id=submission.id)
        with pytest.raises(InvalidInput):
            services.decide(principal=reviewer, submission_id=submission.id, approve=False, reason=" ")
        services.decide(principal=reviewer, submission_id=submission.id, approve=False, reason="No card.")
    submission = reload(submission)
    assert (submission.state, submission.version.state) == ("rejected", "rejected")
    with acting(partner), transaction.atomic():
        steps = selectors.view_of(submission, principal=partner).timeline
    assert steps[-1].message == "No card."
    assert {step.actor for step in steps if step.side == "reviewer"} == {"Review team"}
    assert run_checks(upload(partner)).state == "waiting_for_review"


def test_notes_of_an_approving_reviewer_stay_in_the_house(partner, reviewer):
    submission = approve(run_checks(upload(partner)), reviewer)
    for principal, sees in ((partner, False), (reviewer, True)):
        with acting(principal), transaction.atomic():
            steps = selectors.view_of(submission, principal=principal).timeline
        assert any(step.message == "Looks right to me." for step in steps) is sees


def test_withdrawing_ends_it_until_it_is_approved(partner, reviewer):
    submission = run_checks(upload(partner))
    with acting(partner):
        services.withdraw(principal=partner, submission_id=submission.id)
    submission = reload(submission)
    assert (submission.state, submission.version.state) == ("withdrawn", "withdrawn")
    second = approve(run_checks(upload(partner)), reviewer)
    with acting(partner), pytest.raises(IllegalTransition):
        services.withdraw(principal=partner, submission_id=second.id)


def test_partners_do_not_see_each_other(partner, principal_for, make_tenant):
    submission = upload(partner)
    other = principal_for(make_tenant("rival", kind="partner"), Role.PARTNER)
    with acting(other):
        with pytest.raises(NotFound):
            services.withdraw(principal=other, submission_id=submission.id)
        with transaction.atomic():
            assert not selectors.submissions().exists()


def test_roles_without_the_right_are_refused(keeper, partner, reviewer):
    with pytest.raises(AccessDenied):
        upload(keeper)
    submission = run_checks(upload(partner))
    with acting(partner), pytest.raises(AccessDenied):
        services.claim(principal=partner, submission_id=submission.id)


def test_the_queue_is_due_first(partner, reviewer):
    late = run_checks(upload(partner, package(name="late-plugin")))
    soon = run_checks(upload(partner, package(name="soon-plugin")))
    with platform_scope(), transaction.atomic():
        Submission.objects.filter(pk=soon.pk).update(due_at=timezone.now())
    with acting(reviewer), transaction.atomic():
        assert [s.pk for s in selectors.queue(principal=reviewer)] == [soon.pk, late.pk]


def test_due_dates_are_working_days():
    friday = timezone.datetime(2026, 11, 20, 12, tzinfo=timezone.get_fixed_timezone(0))
    assert due_date("low", start=friday).date().isoformat() == "2026-11-24"
    assert due_date("high", start=friday).date().isoformat() == "2026-11-27"


def test_the_diff_names_files_rights_models_and_skills(partner, reviewer):
    approve(run_checks(upload(partner)), reviewer)
    files = {"skills/double/scripts/skill.py": "def run(payload):\n    return {}\n", "NOTES.md": "New.\n"}
    second = run_checks(upload(partner, package(version="1.1.0", files=files, **ASKS_SECRET)))
    with acting(reviewer), transaction.atomic():
        diff = contents.diff_of(principal=reviewer, submission=second)
        kinds = {change.path: change.kind for change in diff.files}
        shown = contents.content_of(principal=reviewer, submission=second, path="NOTES.md")
        binary = contents.content_of(principal=reviewer, submission=second, path="models/model.onnx")
        with pytest.raises(NotFound):
            contents.content_of(principal=reviewer, submission=second, path="../secret")
    assert diff.base == "1.0.0", diff
    assert kinds == {
        "NOTES.md": "added",
        "plugin.json": "changed",
        "skills/double/scripts/skill.py": "changed",
    }
    assert diff.permissions_added == ["secrets:API_KEY"]
    script = next(change for change in diff.files if change.path.endswith("skill.py"))
    assert "+    return {}" in script.diff
    assert shown.text == "New.\n"
    assert not binary.is_text and binary.text == ""


def test_a_lost_check_is_sent_again_and_ends_as_an_error_after_several(partner):
    submission = upload(partner)
    with platform_scope(), transaction.atomic():
        run_id = submission.check_runs.values_list("id", flat=True)[0]
    for _attempt in range(checking.MAX_ATTEMPTS):
        assert checking._take(run_id) is not None  # this worker is killed here
        assert checking._take(run_id) is None
        with platform_scope(), transaction.atomic():
            CheckRun.objects.filter(pk=run_id).update(lease_until=timezone.now())
        assert checking.resume_stalled() == 1
    with platform_scope(), transaction.atomic():
        assert CheckRun.objects.get(pk=run_id).status == "ERROR"
    assert run_checks(submission).state == "check_error"


def test_a_worker_that_lost_its_lease_writes_nothing(partner):
    submission = upload(partner)
    with platform_scope(), transaction.atomic():
        run_id = submission.check_runs.values_list("id", flat=True)[0]
    slow, _archive = checking._take(run_id)
    with platform_scope(), transaction.atomic():
        CheckRun.objects.filter(pk=run_id).update(lease_until=timezone.now())
    checking.execute(run_id=run_id)
    outcome = checking.CheckOutcome(checking.CheckStatus.REJECTED)
    assert checking._finish(slow, outcome) is False
    with platform_scope(), transaction.atomic():
        assert CheckRun.objects.get(pk=run_id).status == "PASSED"


def test_a_version_is_not_called_published_by_its_approval(partner, reviewer):
    submission = approve(run_checks(upload(partner)), reviewer)
    assert submission.state == "approved"
    with platform_scope(), transaction.atomic():
        assert not PluginVersion.objects.filter(state="published").exists()


def test_a_file_object_is_enough(partner):
    with acting(partner):
        made = services.submit_version(
            principal=partner, file=io.BytesIO(package()), filename="..\\a/b\x00.zip"
        )
    assert made.filename == "b.zip"
