"""What an erasure does to what people were asked about a machine's answers, and to answers that wait for them.

The question, the facts and the withheld content go; that there was a task stays, and whoever waits for it is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _

from governance.data import erasers
from governance.data.erasers import Handled, Outcome
from governance.oversight import selectors
from governance.oversight.models import HumanLabel, OversightTask, Withheld
from governance.oversight.tasking import move, record_step
from governance.principals import SYSTEM
from governance.refs import ObjectRef

TASK = "oversight.oversighttask"
WITHHELD = "oversight.withheld"


def tasks_about(decision_ids: Iterable[str], tenant_id: UUID) -> Iterable[ObjectRef]:
    """The tasks about answers with these request ids: whoever knows which answers were about a person asks."""
    for task in OversightTask.objects.filter(tenant_id=tenant_id, decision_id__in=[*decision_ids]).order_by(
        "id"
    ):
        yield ObjectRef.of(task)


def _erase_task(target: ObjectRef, tenant_id: UUID) -> Handled:
    try:
        rows = OversightTask.objects.select_for_update(of=("self",))
        task = rows.filter(pk=UUID(target.id), tenant_id=tenant_id).first()
    except ValueError:
        task = None
    if task is None:
        return Handled(Outcome.NOTHING, _("it is not there any more"))
    Withheld.objects.filter(tenant_id=tenant_id, task=task).update(content=None)
    _withdraw(task)
    task.decision_id = task.proposed = task.answer = task.reason = ""
    task.facts = {}
    task.save(update_fields=["decision_id", "facts", "proposed", "answer", "reason"])
    HumanLabel.objects.filter(task=task).update(decision_id="", proposed="", label="", in_force=False)
    return Handled(
        Outcome.ERASED, _("facts, answers and the label were blanked; that there was a task stays")
    )


def _find_withheld(subject: str, tenant_id: UUID) -> Iterable[ObjectRef]:
    for row in Withheld.objects.filter(tenant_id=tenant_id, holder_id=subject).order_by("id"):
        yield ObjectRef(WITHHELD, str(row.task_id), label=_("Withheld answer"))


def _erase_withheld(target: ObjectRef, tenant_id: UUID) -> Handled:
    rows = OversightTask.objects.select_for_update(of=("self",)).filter(tenant_id=tenant_id)
    tasks = list(rows.filter(Q(pk=target.id) | Q(appeal_of=target.id)).order_by("id"))
    kept = Withheld.objects.filter(tenant_id=tenant_id, task_id=UUID(target.id), content__isnull=False)
    if not kept.update(content=None):
        return Handled(Outcome.NOTHING, _("it is not there any more"))
    for task in tasks:
        _withdraw(task)
    return Handled(Outcome.ERASED, _("the withheld answer was removed"))


def _withdraw(task: OversightTask) -> None:
    if task.state in selectors.OPEN:
        move(task, OversightTask.State.WITHDRAWN, SYSTEM)
        record_step(task, "withdraw", principal=SYSTEM, reason=_("Its data was erased."))


def register_erasers() -> None:
    """Hand the catalogue how tasks, their labels and withheld answers are erased."""
    erasers.register(TASK, erase=_erase_task)
    erasers.register(WITHHELD, erase=_erase_withheld, find=_find_withheld)
