"""Calling a skill: decided, validated, confined, and recorded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.decisions import require, require_obligations
from governance.audit.services import record
from governance.errors import DomainError, InvalidInput, NotFound, TooLarge, Unavailable
from governance.ethics.enforcing import require_approved
from governance.ethics.use import UNSAID, Use
from governance.oversight.duties import PERSON_CONFIRMS
from governance.oversight.withholding import Content, WaitsForAPerson, run_once
from governance.principals import Principal
from governance.refs import ObjectRef
from governance.tenants.context import current_request_id
from skills.library.models import SkillCall, SkillVersion
from skills.library.schemas import problems
from skills.library.selectors import callable_version
from skills.runtime import metrics
from skills.runtime.sandbox import SandboxLimits, SandboxResult, SandboxSpec, run_confined

MAX_INPUT_BYTES = 256 * 1024
# Each run is a process of its own; more of them at once than this would only make all of them slower.
MAX_RUNNING = 4
WAIT_FOR_A_PLACE_S = 5.0

Status = SkillCall.Status
_places = threading.BoundedSemaphore(MAX_RUNNING)


class SkillFailed(DomainError):
    """The skill itself did not answer as it should. Its own words are kept out of the message."""

    status = 502
    code = "skill-failed"


class SkillTimedOut(SkillFailed):
    """The skill used up its time."""

    status = 504
    code = "skill-timeout"


@dataclass(frozen=True, slots=True)
class SkillResult:
    """A skill's answer, which fits its output schema. `wall_s` is seconds from start to end of its process."""

    output: Any
    call_id: UUID
    skill: str
    version: str
    sha256: str
    wall_s: float


def invoke_skill(
    *, principal: Principal, name: str, payload: Any, version: str | None = None, use: Use = UNSAID
) -> SkillResult:
    """Call a skill of the principal's tenant in a confined process and return its answer.

    Must be called outside a transaction: the run takes seconds, and a transaction must not. Raises NotFound,
    AccessDenied, InvalidInput, SkillTimedOut, SkillFailed or Unavailable; every call that reached the skill is kept.
    Where a person must confirm the call first, WaitsForAPerson: the same call again runs once when one has.
    """
    if transaction.get_connection().in_atomic_block:
        raise RuntimeError("a skill must not be called inside a transaction")
    try:
        size = len(orjson.dumps(payload))
    except orjson.JSONEncodeError as error:
        raise InvalidInput(_("The input is not JSON.")) from error
    if size > MAX_INPUT_BYTES:
        raise TooLarge(_("The input is larger than %(limit)d bytes.") % {"limit": MAX_INPUT_BYTES})
    found, duties = _admitted(principal, name, version, use)
    if errors := problems(found.input_schema, payload):
        _keep(principal, found, Status.INVALID_INPUT, "", SandboxResult(status="error"))
        raise InvalidInput(_("The input does not fit the skill's schema."), errors=list(errors))
    with _place():
        if PERSON_CONFIRMS in duties:
            _use_confirmation(principal, found, payload, use)
        result = run_confined(
            SandboxSpec(
                entry="skill",
                bundle=found.bundle,
                entrypoint=found.entrypoint,
                payload=payload,
                limits=SandboxLimits(
                    wall_s=found.timeout_s, cpu_s=found.timeout_s, memory_bytes=found.memory_mb << 20
                ),
            )
        )
    status, reason = str(result.status), result.reason
    if status == Status.OK and (wrong := problems(found.output_schema, result.output)):
        status, reason = Status.INVALID_OUTPUT, wrong[0]["pointer"]
    call = _keep(principal, found, status, reason, result)
    if status != Status.OK:
        raise _failure(status, found, call)
    return SkillResult(
        output=result.output,
        call_id=call.id,
        skill=found.skill.name,
        version=found.version,
        sha256=found.sha256,
        wall_s=result.wall_s,
    )


def _admitted(
    principal: Principal, name: str, version: str | None, use: Use
) -> tuple[SkillVersion, tuple[str, ...]]:
    """The version that will run and its duties, once the decision point has allowed this principal to call it."""
    with transaction.atomic():
        found = (
            callable_version(tenant_id=principal.tenant_id, name=name, version=version)
            if principal.tenant_id
            else None
        )
        if found is None:
            raise NotFound(
                _("There is no skill “%(name)s” that can be called.") % {"name": name},
                hint=_("Install a plugin that brings it, or name a version that is not retired."),
            )
        decision = require(principal, "library.skill.invoke", found.skill, context=use.context())
        require_obligations(decision, fulfilled=frozenset({PERSON_CONFIRMS}))
        require_approved(
            principal=principal,
            action="library.skill.invoke",
            target=ObjectRef.of(found, digest=found.sha256),
            tenant_id=found.tenant_id,
        )
    return found, decision.obligations


def _use_confirmation(principal: Principal, found: SkillVersion, payload: Any, use: Use) -> None:
    """Go on only with a person's confirmation of this very call, which is then used up. Raises WaitsForAPerson."""
    waiting = run_once(
        holder=principal,
        action="library.skill.invoke",
        context=use.context(),
        content=Content(orjson.dumps(payload, option=orjson.OPT_SORT_KEYS), "application/json"),
        subject=ObjectRef("library.skill", str(found.skill_id), found.sha256, found.skill.name),
        tenant_id=found.tenant_id,
        question=_("May the skill be called with this?"),
        facts={"version": found.version},
    )
    if waiting is not None:
        raise WaitsForAPerson(
            waiting, hint=_("Call it again with the same input once somebody has confirmed it.")
        )


@contextmanager
def _place() -> Iterator[None]:
    """One of the places for running skills, after a short wait for it. Raises Unavailable."""
    if not _places.acquire(timeout=WAIT_FOR_A_PLACE_S):
        metrics.REFUSED.inc()
        raise Unavailable(
            _("Too many skills are running at the moment."),
            code="busy",
            hint=_("Try again in a few seconds."),
        )
    try:
        with metrics.RUNNING.track_inprogress():
            yield
    finally:
        _places.release()


def _keep(
    principal: Principal, version: SkillVersion, status: str, reason: str, result: SandboxResult
) -> SkillCall:
    labels = (str(version.tenant_id), version.skill.name)
    metrics.CALLS.labels(*labels, status).inc()
    if result.wall_s:
        metrics.SECONDS.labels(*labels).observe(result.wall_s)
    with transaction.atomic():
        call = SkillCall.objects.create(
            tenant_id=version.tenant_id,
            skill_version=version,
            status=status,
            reason=reason[:200],
            wall_s=result.wall_s,
            max_rss_bytes=result.max_rss_bytes,
            sha256=version.sha256,
            principal_kind=principal.kind,
            principal_id=principal.id,
            principal_label=principal.label[:200],
            request_id=current_request_id()[:64],
        )
        record(
            principal=principal,
            action="library.skill.invoke",
            target=ObjectRef.of(version, digest=version.sha256),
            tenant_id=version.tenant_id,
            details={"status": str(status), "wall_ms": round(1000 * result.wall_s)},
        )
    return call


def _failure(status: str, version: SkillVersion, call: SkillCall) -> DomainError:
    """What the caller reads: never the skill's own words, which may hold what it was given."""
    hint = _("Give the publisher the call's number %(call)s.") % {"call": call.id}
    if status == Status.UNAVAILABLE:
        return Unavailable(
            _("Skills cannot be confined on this machine, so none is run."),
            code="sandbox-unavailable",
            hint=_("An administrator finds the reason under /health/ready."),
        )
    if status == Status.TIMEOUT:
        return SkillTimedOut(
            _("The skill did not answer within %(seconds)g seconds.") % {"seconds": version.timeout_s},
            hint=hint,
        )
    if status == Status.MEMORY:
        return SkillFailed(
            _("The skill needed more than its %(memory)d MiB of memory.") % {"memory": version.memory_mb},
            code="skill-memory",
            hint=hint,
        )
    if status == Status.INVALID_OUTPUT:
        return SkillFailed(
            _("The skill's answer does not fit its own schema."), code="skill-invalid-output", hint=hint
        )
    return SkillFailed(_("The skill ended with an error."), hint=hint)
