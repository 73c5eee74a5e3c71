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
    "data": "569 public rows, none of them personal; rural clinics are missing.",
    "accuracy": "97 percent on rows it has not seen; weaker for rare shapes.",
    "human_oversight": "The physician sees the figures and can overrule them at once.",
    "risks": "A missed finding; therefore a second reading remains in place.",
    "no_prohibited_practice": True,
}


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
