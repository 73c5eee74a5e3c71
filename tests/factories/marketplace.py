"""Submissions on their way, driven through the real services; checks run in this process, one after the other."""

from __future__ import annotations

import io
import json
from typing import Any

from governance.principals import Principal
from governance.tenants.context import RowScope, row_scope
from marketplace.review import checking, services
from marketplace.review.models import CheckRun, Submission
from tests.factories.packages import files_with, manifest, zip_bytes

ANSWERS = {
    "intended_use": "Supports a physician; it never decides alone.",
    "affected_people": "Patients whose slides are read in the laboratory.",
    "people_per_month": 400,
    "prohibited_practices": ["none"],
    "annex_i_product": "yes",
    "annex_iii_areas": ["none"],
    "transparency": ["none"],
    "data": "569 public rows, none of them personal; rural clinics are missing.",
    "data_categories": ["none"],
    "accuracy": "97 percent on rows it has not seen; weaker for rare shapes.",
    "robustness": "Rows with missing values are refused; noise of one percent changes nothing.",
    "automation": "advises",
    "human_oversight": "The physician sees the figures and can overrule them at once.",
    "minutes_to_step_in": 60,
    "risks": "A missed finding; therefore a second reading remains in place.",
    "monitoring": "Sensitivity every week; below 95 percent it is stopped and the laboratory is told.",
    "answers_are_true": True,
}
OLD_ANSWERS = {
    key: ANSWERS[key]
    for key in ("intended_use", "affected_people", "data", "accuracy", "human_oversight", "risks")
} | {"no_prohibited_practice": True}
EVIDENCE: dict[str, Any] = {
    "model_card": "# Slides\n## Intended use\nTriage.\n## Data\nPublic.\n## Evaluation\n97 %.\n"
    "## Limitations\nRare shapes.\n## Licence\nApache-2.0\n",
    "evaluation": {
        "format": "openclaw-evaluation-1",
        "data": {"name": "slides", "rows": 100, "sha256": "c" * 64},
        "group": "laboratory",
        "positive": "1",
        "overall": {
            "n": 100, "accuracy": 0.97, "selection_rate": 0.4, "false_positive_rate": 0.02,
            "false_negative_rate": 0.03,
        },
        "groups": [
            {"group": "north", "n": 60, "accuracy": 0.98, "selection_rate": 0.5, "false_positive_rate": 0.0,
             "false_negative_rate": 0.04},
            {"group": "south", "n": 40, "accuracy": 0.955, "selection_rate": 0.25, "false_positive_rate": 0.05,
             "false_negative_rate": 0.02},
        ],
        "disparities": {
            "accuracy": {"difference": 0.025, "ratio": 0.955 / 0.98},
            "selection_rate": {"difference": 0.25, "ratio": 0.5},
            "false_positive_rate": {"difference": 0.05, "ratio": 0.0},
            "false_negative_rate": {"difference": 0.02, "ratio": 0.5},
        },
        "made_by": "fairlearn",
    },
    "oversight_plan": {
        "format": "openclaw-oversight-plan-1",
        "overseers": [{"role": "pathologist", "training": "two hours with the model's author"}],
        "sees": "the slide and the probability",
        "can": ["correct", "override", "stop"],
        "minutes_to_step_in": 60,
        "escalation": {"to": "head of the laboratory", "after_minutes": 30},
        "stop": "the stop button of the endpoint",
        "appeal": "a letter to the laboratory, answered within a week",
    },
}  # fmt: skip
QUESTIONNAIRE = {"version": "ai-act-2", "answers": ANSWERS, "evidence": EVIDENCE}


def acting(principal: Principal) -> Any:
    """The row-security context that a request of this principal would have."""
    return row_scope(RowScope(tenant_id=principal.tenant_id, platform=principal.platform))


def package(
    *,
    name: str = "digits-reader",
    version: str = "1.0.0",
    files: dict[str, Any] | None = None,
    **extension: Any,
) -> bytes:
    """A good package, with these keys of the extension replaced."""
    document = manifest(**extension) | {"name": name, "version": version}
    return zip_bytes(files_with({"plugin.json": json.dumps(document), **(files or {})}))


def upload(principal: Principal, data: bytes | None = None, **options: Any) -> Submission:
    """Upload a package; its checks are queued, not run."""
    with acting(principal):
        return services.submit_version(
            principal=principal, file=io.BytesIO(data or package()), filename="plugin.zip", **options
        )


def run_checks(submission: Submission) -> Submission:
    """Run every queued check here, as the workers would."""
    from governance.tenants.context import platform_scope

    with platform_scope():
        from django.db import transaction

        with transaction.atomic():
            ids = list(
                CheckRun.objects.filter(submission=submission)
                .exclude(state=CheckRun.State.DONE)
                .values_list("id", flat=True)
            )
        for run_id in ids:
            checking.execute(run_id=run_id)
        checking.conclude(submission_id=submission.id)
    return reload(submission)


def reload(submission: Submission) -> Submission:
    """The submission as it is now."""
    from django.db import transaction

    from governance.tenants.context import platform_scope

    with platform_scope(), transaction.atomic():
        return Submission.objects.select_related("version").get(pk=submission.pk)


def approve(submission: Submission, *reviewers: Principal) -> Submission:
    """Each reviewer claims and approves."""
    for reviewer in reviewers:
        with acting(reviewer):
            services.claim(principal=reviewer, submission_id=submission.id)
            services.decide(
                principal=reviewer, submission_id=submission.id, approve=True, reason="Looks right to me."
            )
    return reload(submission)


def publish(submission: Submission) -> Submission:
    """Do the publishing worker's part here."""
    from marketplace.distribution.services import publish as publish_version

    current = reload(submission)
    assert current.version_id is not None
    publish_version(plugin_version_id=current.version_id)
    return reload(submission)
