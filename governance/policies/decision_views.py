"""Recorded decisions, and “Why was this refused?” for each of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from governance.access.decisions import require
from governance.access.requests import principal_of
from governance.audit.models import AuditEntry
from governance.errors import NotFound
from governance.policies import selectors
from governance.policies.explanations import explain
from governance.policies.refusals import Refusal
from governance.principals import Principal

LISTED = 100


@never_cache
@require_safe
def decisions(request: HttpRequest) -> HttpResponse:
    """What was decided lately: refusals first asked for, everything with ?show=all."""
    principal = principal_of(request)
    require(principal, "policies.decision.explain")
    everything = request.GET.get("show") == "all"
    words = request.GET.get("q", "").strip()[:100]
    rows = selectors.decisions_for(principal)
    if not everything:
        rows = rows.filter(allow=False, enforced=True)
    if words:
        rows = selectors.matching(rows, words)
    context = {"rows": rows[:LISTED], "everything": everything, "q": words, "listed": LISTED}
    return render(request, "policies/decisions.html", context)


@never_cache
@require_safe
def why_decision(request: HttpRequest, record_id: UUID) -> HttpResponse:
    """Why one recorded decision came out as it did."""
    principal = principal_of(request)
    require(principal, "policies.decision.explain")
    record = selectors.decisions_for(principal).filter(pk=record_id).first()
    if record is None:
        raise NotFound(_("There is no such decision, or it is not yours to see."))
    facts = {
        "who": record.principal_label,
        "action": record.action,
        "target": record.target_label or record.target_id,
        "at": record.last_at,
        "count": record.count,
        "allow": record.allow,
        "own": _is_own(principal, record.principal_id),
    }
    return _page(request, Refusal.of_record(record), facts)


@never_cache
@require_safe
def why_entry(request: HttpRequest, entry_id: UUID) -> HttpResponse:
    """Why a refusal in the audit log happened."""
    principal = principal_of(request)
    require(principal, "policies.decision.explain")
    return _entry_page(request, selectors.refused_entry(principal, pk=entry_id))


@never_cache
@require_safe
def why_request(request: HttpRequest, request_id: str) -> HttpResponse:
    """Why the request with this id was refused: where the error page leads."""
    principal = principal_of(request)
    require(principal, "policies.decision.explain")
    return _entry_page(request, selectors.refused_entry(principal, request_id=request_id[:64]))


def _entry_page(request: HttpRequest, entry: AuditEntry) -> HttpResponse:
    facts = {
        "who": entry.actor_label,
        "action": entry.action,
        "target": entry.target_label or entry.target_id,
        "at": entry.at,
        "count": 1,
        "allow": False,
        "own": _is_own(principal_of(request), entry.actor_id),
        "request_id": entry.request_id,
    }
    return _page(request, Refusal.of_entry(entry), facts)


def _page(request: HttpRequest, refusal: Refusal, facts: dict[str, Any]) -> HttpResponse:
    found = explain(principal_of(request), refusal)
    return render(request, "policies/why.html", {"why": found, "facts": facts, "refusal": refusal})


def _is_own(principal: Principal, actor_id: str) -> bool:
    return actor_id == principal.id
