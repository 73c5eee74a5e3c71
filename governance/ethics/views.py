"""The ethics officer's pages: what waits, what the provider answered and supplied, and the decision."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.errors import AccessDenied, DomainError, NotFound
from governance.ethics import presentation, selectors, services
from governance.ethics.models import Approval

DECIDED_SHOWN = 10
DECIDE = "ethics.approval.decide"


@never_cache
@require_safe
def queue(request: HttpRequest) -> HttpResponse:
    """What waits, what ends soon, and what was decided lately."""
    principal = principal_of(request)
    require(principal, DECIDE)
    decided = Approval.objects.exclude(decided_at=None).order_by("-decided_at")[:DECIDED_SHOWN]
    rows = [presentation.row_of(approval) for approval in selectors.queue()]
    incidents = selectors.visible_incidents(principal)
    context = {
        "rows": rows,
        "expiring": selectors.expiring(),
        "decided": decided,
        "late": selectors.overdue_incidents(incidents),
        "now": timezone.now(),
    }
    return render(request, "ethics/queue.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def approval(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """One request with answers, class of risk and evidence; POST decides it. Prints well."""
    principal = principal_of(request)
    require(principal, DECIDE)
    if request.method == "POST":
        return _decide(request, approval_id)
    return _show(request, approval_id)


def _decide(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    approve = request.POST.get("verdict") == "approve"
    try:
        services.decide_approval(
            principal=principal_of(request),
            approval_id=approval_id,
            approve=approve,
            reason=request.POST.get("reason", ""),
            conditions=presentation.conditions_from_form(request.POST) if approve else (),
            valid_days=presentation.days_from_form(request.POST) if approve else None,
        )
    except (AccessDenied, NotFound):
        raise
    except DomainError as error:
        return _show(request, approval_id, error=error)
    messages.success(request, _("Approved.") if approve else _("Refused."))
    return HttpResponseRedirect(reverse("ethics-queue"))


def _show(request: HttpRequest, approval_id: UUID, *, error: DomainError | None = None) -> HttpResponse:
    principal = principal_of(request)
    found = selectors.with_evidence(Approval.objects.filter(pk=approval_id)).first()
    if found is None:
        raise NotFound(_("There is no such approval."))
    own = principal.accountable_user_id == found.requested_by_id
    context: dict[str, Any] = {
        "approval": found,
        "view": presentation.view_of(found),
        "own": own,
        "error": error,
        "sent": request.POST,
        "may_decide": found.state == Approval.State.REQUESTED
        and not own
        and decide(principal, DECIDE, found, context={"requested_by": str(found.requested_by_id)}).allow,
    }
    return render(request, "ethics/approval.html", context, status=error.status if error else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def evidence(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """The publisher's page of a request: what is needed, what was supplied, and a form to add a document."""
    principal = principal_of(request)
    found = selectors.with_evidence(Approval.objects.filter(pk=approval_id)).first()
    if found is None:
        raise NotFound(_("There is no such approval."))
    require(principal, "ethics.evidence.supply", found)
    error: DomainError | None = None
    if request.method == "POST":
        try:
            services.supply_evidence(
                principal=principal,
                approval_id=approval_id,
                kind=request.POST.get("kind", ""),
                document=presentation.document_from_form(request),
            )
        except AccessDenied:
            raise
        except DomainError as problem:
            error = problem
        else:
            messages.success(request, _("The ethics office has the document."))
            return HttpResponseRedirect(reverse("ethics-evidence", args=[approval_id]))
    context = {"approval": found, "view": presentation.view_of(found), "error": error, "sent": request.POST}
    return render(request, "ethics/evidence.html", context, status=error.status if error else 200)


@require_POST
def renew(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """Ask for the same approval again."""
    made = services.renew_approval(principal=principal_of(request), approval_id=approval_id)
    messages.success(request, _("The ethics office has the request for renewal."))
    return HttpResponseRedirect(reverse("ethics-evidence", args=[made.id]))
