"""What a plugin is for, as reviewers judge it: a high-risk purpose that the manifest does not declare."""

from __future__ import annotations

from django.utils.translation import gettext as _

from governance.errors import Conflict, InvalidInput
from governance.principals import Principal
from marketplace.catalog import services
from marketplace.catalog.risk import HIGH_RISK_PURPOSES
from marketplace.review.lifecycle import Kind, note
from marketplace.review.models import Submission


def correct_purpose(submission: Submission, purpose: str, *, principal: Principal) -> None:
    """What a publisher declares decides nothing alone: a reviewer may find a high-risk purpose, never take one away."""
    if purpose not in HIGH_RISK_PURPOSES:
        raise InvalidInput(
            _("“%(purpose)s” is no high-risk purpose.") % {"purpose": purpose[:100]},
            hint=_("Choose one of: %(names)s.") % {"names": ", ".join(sorted(HIGH_RISK_PURPOSES))},
        )
    version = submission.version
    if submission.needs_ethics or version is None:
        raise Conflict(
            _("This submission needs an ethics approval already, for the purpose that it declares.")
        )
    services.correct_purpose(version, principal=principal, purpose=purpose)
    submission.purpose, submission.needs_ethics = purpose, True
    submission.risk_level, submission.risk_reasons = version.risk_level, version.risk_reasons
    submission.save(update_fields=["purpose", "needs_ethics", "risk_level", "risk_reasons"])
    note(submission, principal=principal, kind=Kind.ETHICS, code="purpose_corrected", message=purpose)
