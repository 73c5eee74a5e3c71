"""Pages of the incident register, and of what is bound to approvals with its evidence bundles."""

from __future__ import annotations

from datetime import datetime
from typing import cast
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.errors import AccessDenied, DomainError, InvalidInput, NotFound
from governance.ethics import incidents, selectors, subjects
from governance.ethics.bundle_api import download
from governance.ethics.bundles.services import TYPES, Form, export_bundle
from governance.ethics.models import Incident
from governance.ethics.selectors import holds_now
from governance.ethics.terms import parse_terms
from governance.refs import ObjectRef

SHOWN = 200


@never_cache
@require_safe
def register(request: HttpRequest) -> HttpResponse:
    """Every incident, the open ones first to see."""
    principal = principal_of(request)
    require(principal, "ethics.incident.view")
    rows = selectors.visible_incidents(principal)
    context = {
        "open": rows.exclude(state=Incident.State.CLOSED)[:SHOWN],
        "closed": rows.filter(state=Incident.State.CLOSED)[:SHOWN],
        "late": {row.pk for row in selectors.overdue_incidents(rows)},
        "may_open": principal.tenant_id is not None and decide(principal, "ethics.incident.open").allow,
    }
    return render(request, "ethics/incidents.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Enter an incident."""
    principal = principal_of(request)
    require(principal, "ethics.incident.open")
    error: DomainError | None = None
    if request.method == "POST":
        try:
            made = incidents.open_incident(
                principal=principal,
                subject=_subject(request),
                title=request.POST.get("title", ""),
                description=request.POST.get("description", ""),
                severity=request.POST.get("severity", ""),
                serious=request.POST.get("serious", ""),
                aware_at=_moment(request.POST.get("aware_at", "")),
                tenant_id=cast(UUID, principal.tenant_id),
            )
        except AccessDenied:
            raise
        except DomainError as problem:
            error = problem
        else:
            messages.success(request, _("The incident is in the register."))
            return HttpResponseRedirect(reverse("incident", args=[made.id]))
    context = {
        "error": error,
        "sent": request.POST or request.GET,
        "severities": Incident.Severity.choices,
        "kinds": Incident.Serious.choices,
        "objects": selectors.visible_bindings(principal)[:SHOWN],
    }
    return render(request, "ethics/incident_new.html", context, status=error.status if error else 200)


@never_cache
@require_safe
def incident(request: HttpRequest, incident_id: UUID) -> HttpResponse:
    """One incident and its next step."""
    principal = principal_of(request)
    require(principal, "ethics.incident.view")
    found = selectors.visible_incidents(principal).filter(pk=incident_id).first()
    if found is None:
        raise NotFound(_("There is no such incident."))
    context = {
        "incident": found,
        "late": found.report_due_at is not None
        and found.reported_at is None
        and found.report_due_at < timezone.now(),
        "kinds": Incident.Serious.choices,
        "may_handle": decide(principal, "ethics.incident.handle", found).allow,
    }
    return render(request, "ethics/incident.html", context)


@require_POST
def step(request: HttpRequest, incident_id: UUID, name: str) -> HttpResponse:
    """Investigate, report or close."""
    principal = principal_of(request)
    if name == "investigate":
        incidents.investigate(
            principal=principal, incident_id=incident_id, serious=request.POST.get("serious") or None
        )
    elif name == "report":
        incidents.report(
            principal=principal, incident_id=incident_id, reported_to=request.POST.get("reported_to", "")
        )
    else:
        incidents.close(
            principal=principal,
            incident_id=incident_id,
            corrective_action=request.POST.get("corrective_action", ""),
        )
    messages.success(request, _("Done."))
    return HttpResponseRedirect(reverse("incident", args=[incident_id]))


@never_cache
@require_safe
def uses(request: HttpRequest) -> HttpResponse:
    """What in the tenant needs an approval: whether it holds, its conditions, and its evidence bundle."""
    principal = principal_of(request)
    require(principal, "ethics.binding.view")
    rows = [
        {
            "binding": row,
            "holds": holds_now(row),
            "conditions": parse_terms(row.conditions).sentences(),
            "bundle": row.object_type in subjects.describable(),
        }
        for row in selectors.visible_bindings(principal)[:SHOWN]
    ]
    context = {"rows": rows, "may_export": decide(principal, "ethics.bundle.export").allow}
    return render(request, "ethics/uses.html", context)


@never_cache
@require_safe
def bundle(request: HttpRequest, kind: str, object_id: str) -> HttpResponse:
    """An evidence bundle as a file."""
    form = request.GET.get("as", "zip")
    if form not in TYPES:
        raise InvalidInput(_("A bundle comes as %(forms)s.") % {"forms": ", ".join(sorted(TYPES))})
    return download(
        export_bundle(
            principal=principal_of(request),
            target=ObjectRef(kind[:100], object_id[:100]),
            form=cast(Form, form),
        )
    )


def _subject(request: HttpRequest) -> ObjectRef:
    """What was chosen from the list, else what was written in words."""
    kind, _sep, object_id = request.POST.get("object", "").partition(" ")
    if kind and object_id:
        bound = (
            selectors.visible_bindings(principal_of(request))
            .filter(object_type=kind, object_id=object_id)
            .first()
        )
        if bound is None:
            raise NotFound(_("There is no such object."))
        return ObjectRef(kind, object_id, "", bound.object_label)
    words = request.POST.get("subject", "").strip()
    return ObjectRef("other", words[:100], "", words[:200])


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise InvalidInput(_("Give date and time as YYYY-MM-DD HH:MM."))
    return found if timezone.is_aware(found) else timezone.make_aware(found)
