"""The console's pages about skills: what there is, trying one with JSON, and which applications may call it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from governance.access.decisions import decide, require
from governance.access.requests import principal_of
from governance.access.selectors import applications_by_grant
from governance.errors import AccessDenied, DomainError, InvalidInput, NotFound
from skills.library import services as library
from skills.library.models import Skill, SkillVersion
from skills.library.policies import INVOKE_GRANT
from skills.library.selectors import visible_calls, visible_skills
from skills.runtime.services import invoke_skill

CALLS_SHOWN = 10


def _skill(request: HttpRequest, skill_id: UUID) -> Skill:
    principal = principal_of(request)
    require(principal, "library.skill.view")
    found = visible_skills(principal).filter(pk=skill_id).first()
    if found is None:
        raise NotFound(_("There is no such skill."))
    return found


@never_cache
@require_safe
def skills(request: HttpRequest) -> HttpResponse:
    """All skills."""
    require(principal_of(request), "library.skill.view")
    rows = visible_skills(principal_of(request)).select_related("active_version", "tenant").order_by("name")
    return render(request, "skills/list.html", {"rows": rows[:200]})


@never_cache
@require_safe
def skill(request: HttpRequest, skill_id: UUID) -> HttpResponse:
    """One skill."""
    found = _skill(request, skill_id)
    return render(request, "skills/skill.html", _context(request, found))


@never_cache
@require_POST
@transaction.non_atomic_requests
def call(request: HttpRequest, skill_id: UUID) -> HttpResponse:
    """Try it: the answer, or why there is none, appears under the input. No transaction waits for the run."""
    text = request.POST.get("payload", "")
    outcome: dict[str, Any] = {"payload": text}
    with transaction.atomic():
        found = _skill(request, skill_id)
    status = 200
    try:
        payload = json.loads(text)
    except ValueError as error:
        outcome["error"] = InvalidInput(_("The input is not JSON: %(problem)s") % {"problem": error})
        status = 400
    else:
        try:
            outcome["result"] = invoke_skill(
                principal=principal_of(request), name=found.name, payload=payload
            )
            outcome["answer"] = json.dumps(outcome["result"].output, indent=2, ensure_ascii=False)
        except AccessDenied:
            raise
        except DomainError as error:
            outcome["error"], status = error, error.status
    with transaction.atomic():
        return render(request, "skills/skill.html", _context(request, found) | outcome, status=status)


@require_POST
def grants(request: HttpRequest, skill_id: UUID) -> HttpResponse:
    """Let an application call the skill (`give`), or take that right back (`take`)."""
    found = _skill(request, skill_id)
    change, value = library.grant_invoke, request.POST.get("give", "")
    if not value:
        change, value = library.revoke_invoke, request.POST.get("take", "")
    try:
        application_id = UUID(value)
    except ValueError as error:
        raise InvalidInput(_("Choose one from the list.")) from error
    change(principal=principal_of(request), skill_id=found.id, application_id=application_id)
    messages.success(request, _("Changed; it holds within a second."))
    return HttpResponseRedirect(reverse("skill", args=[found.id]))


@require_POST
def activate(request: HttpRequest, skill_id: UUID) -> HttpResponse:
    """Let another version answer."""
    found = _skill(request, skill_id)
    version = found.versions.filter(version=request.POST.get("version", "")).first()
    if version is None:
        raise NotFound(_("There is no such skill version."))
    library.activate_version(
        principal=principal_of(request), version_id=version.id, reason=_("chosen in the console")
    )
    messages.success(request, _("Version %(version)s answers now.") % {"version": version.version})
    return HttpResponseRedirect(reverse("skill", args=[found.id]))


def _context(request: HttpRequest, found: Skill) -> dict[str, Any]:
    principal = principal_of(request)
    granted, grantable = applications_by_grant(
        tenant_id=found.tenant_id, permission=INVOKE_GRANT, object_id=found.id
    )
    active = found.active_version
    return {
        "skill": found,
        "active": active,
        "versions": found.versions.order_by("-id"),
        "ready": SkillVersion.State.READY,
        "payload": _example(active.input_schema) if active else "{}",
        "input_schema": _pretty(active.input_schema) if active else "",
        "output_schema": _pretty(active.output_schema) if active else "",
        "may_call": active is not None and decide(principal, "library.skill.invoke", found).allow,
        "may_activate": decide(principal, "library.version.activate", found).allow,
        "may_grant": decide(principal, "access.grant.manage", found).allow,
        "granted": granted,
        "grantable": grantable,
        "may_review": decide(principal, "privilege.right.view", tenant_id=found.tenant_id).allow,
        "calls": visible_calls(principal).filter(skill_version__skill=found)[:CALLS_SHOWN],
        "address": request.build_absolute_uri(f"/api/v1/skills/{found.name}/invoke"),
    }


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _example(schema: dict[str, Any]) -> str:
    """A first input that a person can edit: every required property with an empty value of its type."""
    return _pretty(_example_value(schema))


def _example_value(schema: dict[str, Any], depth: int = 0) -> Any:
    if schema.get("examples"):
        return schema["examples"][0]
    if "default" in schema:
        return schema["default"]
    kind = schema.get("type")
    if kind == "object" and depth < 4:
        wanted = schema.get("required") or list(schema.get("properties", {}))
        return {
            name: _example_value(schema.get("properties", {}).get(name, {}), depth + 1) for name in wanted
        }
    if kind == "array" and depth < 4:
        items = schema.get("items", {})
        count = min(int(schema.get("minItems", 0)), 256)
        return [_example_value(items if isinstance(items, dict) else {}, depth + 1) for _each in range(count)]
    return {"string": "", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}.get(
        str(kind)
    )
