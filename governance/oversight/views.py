"""The oversight queue and one task of it."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.errors import InvalidInput, NotFound
from governance.oversight import selectors, tasking, withholding
from governance.oversight.models import OversightTask
from governance.principals import Principal

SHOWN = 100
DECIDED_SHOWN = 20
SHOWN_BYTES = 4_000


@never_cache
@require_safe
def queue(request: HttpRequest) -> HttpResponse:
    """What waits, the most urgent first, and what was decided lately."""
    principal = principal_of(request)
    require(principal, "oversight.task.view")
    decided = OversightTask.objects.filter(state=OversightTask.State.DECIDED).select_related("decided_by")
    context = {
        "tasks": selectors.queue()[:SHOWN],
        "decided": decided.order_by("-decided_at")[:DECIDED_SHOWN],
        "now": timezone.now(),
    }
    return render(request, "oversight/queue.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def task(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """One task; POST takes it, gives it back, decides it, withdraws it or appeals."""
    principal = principal_of(request)
    require(principal, "oversight.task.view")
    if request.method == "POST":
        return _act(request, principal, task_id)
    found = (
        OversightTask.objects.select_related("claimed_by", "decided_by", "opened_by", "appeal_of")
        .filter(pk=task_id)
        .first()
    )
    if found is None:
        raise NotFound(_("There is no such task."))
    me = principal.accountable_user_id
    mine = found.claimed_by_id == me
    first = found.appeal_of
    waits = found.state in selectors.OPEN
    own_matter = tasking.whose_matter(found, principal)
    may_decide = (
        waits
        and (found.claimed_by_id is None or mine)
        and not (first and first.decided_by_id == me)
        and decide(principal, "oversight.task.decide", found, context=own_matter).allow
    )
    content = withholding.look_at(principal=principal, task_id=found.id) if may_decide else None
    context = {
        "task": found,
        "mine": mine,
        "appeal": found.appeals.first(),
        "may_decide": may_decide,
        "own_matter": waits and me is not None and own_matter.get("requested_by") == str(me),
        "may_withdraw": waits
        and me is not None
        and found.opened_by_id == me
        and decide(principal, "oversight.task.open", found).allow,
        "withheld": content.shown(SHOWN_BYTES) if content else "",
        "may_appeal": found.state == OversightTask.State.DECIDED
        and first is None
        and decide(principal, "oversight.task.appeal", found).allow,
        "now": timezone.now(),
    }
    return render(request, "oversight/task.html", context)


def _act(request: HttpRequest, principal: Principal, task_id: UUID) -> HttpResponse:
    what, reason = request.POST.get("what", ""), request.POST.get("reason", "")
    if what == "claim":
        tasking.claim_task(principal=principal, task_id=task_id)
    elif what == "return":
        tasking.return_task(principal=principal, task_id=task_id)
    elif what == "decide":
        tasking.decide_task(
            principal=principal, task_id=task_id, answer=request.POST.get("answer", ""), reason=reason
        )
        messages.success(request, _("Decided. Your answer stands in the machine's place."))
        return HttpResponseRedirect(reverse("oversight-queue"))
    elif what == "withdraw":
        tasking.withdraw_task(principal=principal, task_id=task_id, reason=reason)
        messages.success(request, _("Withdrawn."))
        return HttpResponseRedirect(reverse("oversight-queue"))
    elif what == "appeal":
        made = tasking.appeal(principal=principal, task_id=task_id, reason=reason)
        messages.success(request, _("Somebody else will look at it again."))
        return HttpResponseRedirect(reverse("oversight-task", args=[made.id]))
    else:
        raise InvalidInput(_("This is nothing that can be done with a task."))
    return HttpResponseRedirect(reverse("oversight-task", args=[task_id]))
