"""The incident register: opening, investigating, reporting and closing (EU AI Act, Articles 3(49), 72 and 73)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import Conflict, InvalidInput, NotFound
from governance.ethics.models import Incident
from governance.ethics.states import INCIDENT_STATES
from governance.principals import Principal
from governance.refs import ObjectRef

State = Incident.State
Serious = Incident.Serious
# Article 73(2), (3) and (4): days from becoming aware to the report.
REPORT_WITHIN = {
    Serious.SERIOUS: timedelta(days=15),
    Serious.DEATH: timedelta(days=10),
    Serious.WIDESPREAD: timedelta(days=2),
}
MAX_TEXT = 8000


@transaction.atomic
def open_incident(
    *,
    principal: Principal,
    subject: ObjectRef,
    title: str,
    description: str,
    severity: str,
    tenant_id: UUID,
    serious: str = Serious.NO,
    occurred_at: datetime | None = None,
    aware_at: datetime | None = None,
) -> Incident:
    """Enter an incident of a tenant. A serious one gets its deadline from when it became known (default: now)."""
    require(principal, "ethics.incident.open", tenant_id=tenant_id)
    if principal.accountable_user_id is None:
        raise InvalidInput(_("An incident needs a person who answers for the entry."))
    now = timezone.now()
    aware, occurred = aware_at or now, occurred_at or aware_at or now
    _check_words(title=title, description=description)
    if not subject.type or not subject.id:
        raise InvalidInput(_("Say what the incident is about."))
    if severity not in Incident.Severity.values or serious not in Serious.values:
        raise InvalidInput(_("The severity or the kind under Article 73 is not known."))
    if aware > now or occurred > aware:
        raise InvalidInput(_("An incident happens before it becomes known, and not in the future."))
    incident = Incident.objects.create(
        tenant_id=tenant_id,
        subject_type=subject.type[:100],
        subject_id=subject.id[:100],
        subject_digest=subject.digest,
        subject_label=subject.label[:200],
        title=title.strip(),
        description=description.strip(),
        severity=severity,
        serious=serious,
        occurred_at=occurred,
        aware_at=aware,
        report_due_at=_due(serious, aware),
        opened_by_id=principal.accountable_user_id,
    )
    _audit(
        incident,
        principal,
        "open",
        details={"severity": str(severity), "serious": str(serious)} | _about(incident),
    )
    return incident


@transaction.atomic
def investigate(*, principal: Principal, incident_id: UUID, serious: str | None = None) -> Incident:
    """Begin the investigation; `serious` changes the judgement under Article 73, and with it the deadline."""
    incident = _locked(incident_id)
    require(principal, "ethics.incident.handle", incident)
    if serious is not None:
        if serious not in Serious.values:
            raise InvalidInput(_("The severity or the kind under Article 73 is not known."))
        incident.serious = serious
        incident.report_due_at = _due(serious, incident.aware_at)
    _move(incident, State.INVESTIGATING, principal=principal, details={"serious": incident.serious})
    return incident


@transaction.atomic
def report(*, principal: Principal, incident_id: UUID, reported_to: str) -> Incident:
    """Note that the incident was reported, and to whom."""
    incident = _locked(incident_id)
    require(principal, "ethics.incident.handle", incident)
    if not 3 <= len(reported_to.strip()) <= 200:
        raise InvalidInput(_("Say to which authority or person it was reported."))
    incident.reported_to = reported_to.strip()
    incident.reported_at = timezone.now()
    late = incident.report_due_at is not None and incident.reported_at > incident.report_due_at
    _move(
        incident,
        State.REPORTED,
        principal=principal,
        details={"reported_to": incident.reported_to, "late": late},
    )
    return incident


@transaction.atomic
def close(*, principal: Principal, incident_id: UUID, corrective_action: str) -> Incident:
    """End it with what was done so that it does not happen again. A serious incident must have been reported."""
    incident = _locked(incident_id)
    require(principal, "ethics.incident.handle", incident)
    _check_words(corrective_action=corrective_action)
    if incident.serious != Serious.NO and incident.reported_at is None:
        raise Conflict(
            _("A serious incident must be reported to the authority before it is closed."),
            code="not-reported",
            hint=_("Report it, or correct the judgement under Article 73 when the investigation begins."),
        )
    incident.corrective_action = corrective_action.strip()
    incident.closed_at = timezone.now()
    _move(incident, State.CLOSED, principal=principal)
    return incident


def _due(serious: str, aware_at: datetime) -> datetime | None:
    within = REPORT_WITHIN.get(Serious(serious))
    return aware_at + within if within else None


def _check_words(**texts: str) -> None:
    for name, text in texts.items():
        most = 200 if name == "title" else MAX_TEXT
        if not 3 <= len(text.strip()) <= most:
            raise InvalidInput(
                _("Write 3 to %(most)d characters.") % {"most": most},
                errors=[
                    {"pointer": f"/{name}", "detail": _("Write 3 to %(most)d characters.") % {"most": most}}
                ],
            )


def _locked(incident_id: UUID) -> Incident:
    incident = Incident.objects.select_for_update(of=("self",)).filter(pk=incident_id).first()
    if incident is None:
        raise NotFound(_("There is no such incident."))
    return incident


def _move(
    incident: Incident, target: str, *, principal: Principal, details: dict[str, Any] | None = None
) -> None:
    source = incident.state
    INCIDENT_STATES.check(source, target, principal.roles)
    incident.state = target
    incident.save()
    _audit(
        incident,
        principal,
        target,
        details={"from": str(source), "to": str(target)} | (details or {}) | _about(incident),
    )


def _about(incident: Incident) -> dict[str, str]:
    return {"subject": f"{incident.subject_type}:{incident.subject_id}"}


def _audit(incident: Incident, principal: Principal, step: str, *, details: dict[str, Any]) -> None:
    record(
        principal=principal,
        action=f"ethics.incident.{step}",
        target=ObjectRef.of(incident),
        tenant_id=incident.tenant_id,
        details=details,
    )
