"""What an erasure does to what people were asked about a machine's answers: the question goes, the count stays."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.utils.translation import gettext as _

from governance.data import erasers
from governance.data.erasers import Handled, Outcome
from governance.oversight.models import HumanLabel, OversightTask
from governance.oversight.states import TASK_STATES
from governance.refs import ObjectRef

TYPE = "oversight.oversighttask"
State = OversightTask.State


def tasks_about(decision_ids: Iterable[str], tenant_id: UUID) -> Iterable[ObjectRef]:
    """The tasks about answers with these request ids: whoever knows which answers were about a person asks."""
    for task in OversightTask.objects.filter(tenant_id=tenant_id, decision_id__in=[*decision_ids]).order_by(
        "id"
    ):
        yield ObjectRef.of(task)


def _erase(target: ObjectRef, tenant_id: UUID) -> Handled:
    try:
        rows = OversightTask.objects.select_for_update(of=("self",))
        task = rows.filter(pk=UUID(target.id), tenant_id=tenant_id).first()
    except ValueError:
        task = None
    if task is None:
        return Handled(Outcome.NOTHING, _("it is not there any more"))
    if TASK_STATES.allows(task.state, State.WITHDRAWN):
        task.state = State.WITHDRAWN
    task.decision_id = task.proposed = task.answer = task.reason = ""
    task.facts = {}
    task.save(update_fields=["state", "decision_id", "facts", "proposed", "answer", "reason"])
    HumanLabel.objects.filter(task=task).update(decision_id="", proposed="", label="", in_force=False)
    return Handled(
        Outcome.ERASED, _("facts, answers and the label were blanked; that there was a task stays")
    )


def register_erasers() -> None:
    """Hand the catalogue how tasks and their labels are erased."""
    erasers.register(TYPE, erase=_erase)
