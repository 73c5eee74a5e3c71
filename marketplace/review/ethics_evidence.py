"""Evidence for the ethics office that lies in the package already: the model cards."""

from __future__ import annotations

from governance.errors import DomainError
from governance.ethics.models import Approval, Evidence
from governance.ethics.selectors import missing
from governance.ethics.services import supply_evidence
from governance.principals import Principal
from marketplace.review.archives import peek_manifest, read_text
from marketplace.review.models import Submission


def add_model_card(approval: Approval, submission: Submission, *, principal: Principal) -> None:
    """Supply the cards of the package's models as one document, unless the publisher sent one or none is good enough.

    What is wrong with a card is told by the review's own check of it; here it only stays missing.
    """
    wanted = {item.kind for item in missing(approval)}
    manifest = peek_manifest(submission.archive)
    if Evidence.Kind.MODEL_CARD not in wanted or manifest is None or not manifest.models:
        return
    try:
        cards = [read_text(submission.archive, model.card).text for model in manifest.models]
        supply_evidence(
            principal=principal,
            approval_id=approval.id,
            kind=Evidence.Kind.MODEL_CARD,
            document="\n\n".join(cards),
        )
    except DomainError:
        return
