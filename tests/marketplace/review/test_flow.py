"""A submission's way through the real services."""

from __future__ import annotations

import pytest

from governance.errors import Conflict
from governance.principals import Role
from marketplace.review import services
from tests.factories.marketplace import acting, reload, run_checks, upload

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
