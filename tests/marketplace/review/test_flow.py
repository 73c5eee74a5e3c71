"""A submission's way through the real services."""

from __future__ import annotations

import pytest
from django.db import transaction

from governance.errors import Conflict, InvalidInput
from governance.ethics.models import Approval
from governance.principals import Role
from governance.tenants.context import platform_scope
from marketplace.review import services
from tests.factories.marketplace import QUESTIONNAIRE, acting, reload, run_checks, upload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture
def partner(principal_for, partner_org):
    return principal_for(partner_org, Role.PARTNER)


@pytest.fixture
def reviewer(principal_for, platform):
    return principal_for(platform, Role.REVIEWER)


def test_from_upload_to_approval(partner, reviewer):
    submission = run_checks(upload(partner))
    assert submission.state == "waiting_for_review", [
        (r.name, r.status, r.message, list(r.findings.values())) for r in submission.check_runs.all()
    ]
    with acting(reviewer):
        services.claim(principal=reviewer, submission_id=submission.id)
        services.ask_publisher(principal=reviewer, submission_id=submission.id, message="Why four inputs?")
    with acting(partner):
        services.answer_reviewer(
            principal=partner, submission_id=submission.id, message="Because of the test."
        )
    with acting(reviewer):
        services.decide(principal=reviewer, submission_id=submission.id, approve=True, reason="Fine.")
    assert reload(submission).state == "approved"
    with acting(reviewer), pytest.raises(Conflict):
        services.decide(principal=reviewer, submission_id=submission.id, approve=True, reason="Again.")


def test_a_reviewer_who_finds_a_high_risk_purpose_sends_it_to_the_ethics_office(
    partner, reviewer, principal_for, platform
):
    """A publisher who declares a harmless purpose does not get past the questionnaire."""
    submission = run_checks(upload(partner))
    assert not submission.needs_ethics

    def approve(who, purpose=""):
        with acting(who):
            services.claim(principal=who, submission_id=submission.id)
            services.decide(
                principal=who, submission_id=submission.id, approve=True, reason="Fine.", purpose=purpose
            )
        return reload(submission)

    with pytest.raises(InvalidInput, match="no high-risk purpose"):
        approve(reviewer, "telling-jokes")
    found = approve(reviewer, "credit-scoring")
    assert (found.state, found.purpose, found.risk_level) == ("second_review", "credit-scoring", "high")
    assert found.risk_reasons[0]["code"] == "risk.purpose"
    with platform_scope(), transaction.atomic():
        assert (found.version.purpose, found.version.risk_level) == ("credit-scoring", "high")
    second = principal_for(platform, Role.REVIEWER)
    with pytest.raises(Conflict, match="already"):
        approve(second, "justice")
    assert approve(second).state == "waiting_for_ethics"
    with acting(partner):
        services.answer_questionnaire(
            principal=partner, submission_id=submission.id, questionnaire=QUESTIONNAIRE
        )
    with platform_scope(), transaction.atomic():
        assert Approval.objects.get(subject_id=str(submission.id)).purpose == "credit-scoring"
