"""The ethics officer's pages: what waits, what the provider answered, and the decision."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.errors import NotFound
from governance.ethics import selectors
from governance.ethics.models import Approval
from governance.ethics.questionnaires import QUESTIONNAIRES
from governance.ethics.services import decide_approval

DECIDED_SHOWN = 10


@never_cache
@require_safe
def queue(request: HttpRequest) -> HttpResponse:
    """What waits, and what was decided lately."""
    principal = principal_of(request)
    require(principal, "ethics.approval.decide")
    decided = Approval.objects.exclude(decided_at=None).order_by("-decided_at")[:DECIDED_SHOWN]
    return render(request, "ethics/queue.html", {"rows": selectors.queue(), "decided": decided})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def approval(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """One request with the provider's answers; POST decides it."""
    principal = principal_of(request)
    require(principal, "ethics.approval.decide")
    if request.method == "POST":
        approve = request.POST.get("verdict") == "approve"
        decide_approval(
            principal=principal,
            approval_id=approval_id,
            approve=approve,
            reason=request.POST.get("reason", ""),
        )
        messages.success(request, _("Approved.") if approve else _("Refused."))
        return HttpResponseRedirect(reverse("ethics-queue"))
    found = Approval.objects.select_related("requested_by", "decided_by").filter(pk=approval_id).first()
    if found is None:
        raise NotFound(_("There is no such approval."))
    questions = QUESTIONNAIRES.get(found.questionnaire_version)
    own = principal.accountable_user_id == found.requested_by_id
    context = {
        "approval": found,
        "answers": [(q, found.questionnaire.get(q.id)) for q in questions.questions] if questions else [],
        "own": own,
        "may_decide": found.state == Approval.State.REQUESTED
        and not own
        and decide(principal, "ethics.approval.decide", found).allow,
    }
    return render(request, "ethics/approval.html", context)
