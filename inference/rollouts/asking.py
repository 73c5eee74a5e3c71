"""What the controller cannot decide goes to the oversight queue, and what a person answers there comes back.

The question is one task of governance; its answer counts as long as the rollout still waits for exactly that question.
Whoever is quicker on the rollout's own page settles it there, and the question is taken back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.errors import DomainError
from governance.oversight.models import OversightTask
from governance.oversight.selectors import decided_task
from governance.oversight.tasking import open_task, take_back_question
from governance.principals import SYSTEM, Principal
from governance.refs import ObjectRef
from inference.rollouts.models import Rollout

log = logging.getLogger(__name__)

CAUSE = "high_impact"
GO_ON, ROLL_BACK, PROMOTE = "go on", "roll back", "promote "


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person decided: `verb` is promote, resume or roll_back, `version` which one is promoted."""

    verb: str
    version: str
    reason: str


def ask_person(rollout: Rollout, reason: str) -> None:
    """Put the rollout before a person. A queue that takes no more is no reason not to wait: the page asks as well."""
    options = [*(PROMOTE + version for version in _candidates(rollout)), GO_ON, ROLL_BACK]
    try:
        with transaction.atomic():
            task = open_task(
                principal=SYSTEM,
                subject=ObjectRef.of(rollout),
                cause=CAUSE,
                tenant_id=rollout.tenant_id,
                question=_("How does the rollout of “%(name)s” go on?") % {"name": rollout.endpoint.name},
                options=options,
                decision_id=str(rollout.id),
                facts={
                    _("why a person is asked"): reason,
                    _("versions"): ", ".join(rollout.versions),
                    _("step"): str(rollout.step + 1),
                    _("evidence"): f"/console/rollouts/{rollout.id}/",
                },
            )
    except DomainError:
        log.exception("the rollout %s waits, but its question could not be put into the queue", rollout.id)
        return
    rollout.memory["question"] = str(task.id)
    rollout.save(update_fields=["memory"])


def may_answer(principal: Principal, task: OversightTask) -> None:
    """Whoever answers moves traffic, and needs the right to. Raises AccessDenied."""
    rollout = Rollout.objects.select_related("endpoint").get(pk=task.subject_id)
    require(principal, "rollouts.endpoint.split", rollout.endpoint)


def forget_question(rollout: Rollout, reason: str) -> None:
    """The rollout waits no longer: nobody need answer."""
    if asked := rollout.memory.pop("question", None):
        take_back_question(task_id=UUID(asked), reason=reason or _("settled on the rollout's page"))
        rollout.save(update_fields=["memory"])


def answer_to(rollout: Rollout) -> Answer | None:
    """What a person decided about the question that the rollout waits for, if somebody did."""
    task = decided_task(UUID(rollout.question)) if rollout.question else None
    if task is None:
        return None
    name = task.decided_by.username if task.decided_by else ""
    why = _("%(name)s decided in the oversight queue: %(reason)s") % {"name": name, "reason": task.reason}
    if task.answer.startswith(PROMOTE):
        return Answer("promote", task.answer.removeprefix(PROMOTE), why)
    return Answer("resume" if task.answer == GO_ON else "roll_back", "", why)


def _candidates(rollout: Rollout) -> list[str]:
    """What may win: the new version, or any of those that compete and are not stopped."""
    if rollout.candidate is not None:
        return [rollout.candidate.version]
    return [version for version in rollout.versions if version not in rollout.memory.get("stopped", {})]
