"""What stands in a bundle: plain data, the same for the same state of the house."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from governance.audit.models import AuditEntry
from governance.data.models import Asset, LineageEdge
from governance.data.selectors import asset_of
from governance.ethics.models import Approval, Binding, Evidence, Incident
from governance.ethics.questionnaires import QUESTIONNAIRES
from governance.ethics.questionnaires.risk import because_of
from governance.ethics.selectors import checklist, holds_now
from governance.ethics.terms import parse_terms
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope

FORMAT = "openclaw-evidence-bundle-1"
EXPORT = "ethics.bundle.export"
MAX_LINEAGE = 200
MAX_CHANGES = 1000


def gather(target: ObjectRef, described: Mapping[str, Any], *, tenant_id: UUID) -> dict[str, Any]:
    """Purpose, data, tests, approvals, incidents and changes of one object of a tenant.

    Runs in a row scope that shows the tenant. Approvals of what the object was made from belong to the publisher; the
    tenant's use of it entitles to read them.
    """
    binding = Binding.objects.filter(
        tenant_id=tenant_id, object_type=target.type, object_id=target.id
    ).first()
    asset = asset_of(target, tenant_id=tenant_id)
    with platform_scope():
        approvals = list(_approvals(target, binding))
        told = [_approval(approval) for approval in approvals]
        changes = _changes(target, approvals, tenant_id)
    document = {
        "format": FORMAT,
        "object": {"type": target.type, "id": target.id, **described},
        "purpose": {
            "declared": sorted({approval.purpose for approval in approvals}),
            "catalogue": asset.purpose if asset else "",
            "approval_needed": binding is not None,
            "approval_in_force": binding is not None and holds_now(binding),
        },
        "data": {"asset": _asset(asset), "lineage": _lineage(asset)},
        "tests": {
            "figures": described.get("figures", {}),
            "evaluations": [
                item for approval in told for item in approval["evidence"] if item["kind"] == "evaluation"
            ],
        },
        "approvals": told,
        "incidents": [_incident(row) for row in _incidents(target, binding, tenant_id)],
        "changes": changes,
    }
    return document | {"as_of": max(_times(document), default="")}


def canonical(document: Mapping[str, Any]) -> bytes:
    """The one way in which a bundle is written as JSON: sorted keys, two spaces, UTF-8, a newline at the end."""
    return (json.dumps(document, ensure_ascii=False, sort_keys=True, indent=2) + "\n").encode()


def _approvals(target: ObjectRef, binding: Binding | None) -> Iterable[Approval]:
    wanted = Q(subject_type=target.type, subject_id=target.id)
    if binding is not None:
        wanted |= Q(
            subject_type=binding.subject_type,
            subject_id=binding.subject_id,
            subject_digest=binding.subject_digest,
        )
    return (
        Approval.objects.filter(wanted)
        .select_related("decided_by", "tenant")
        .prefetch_related("evidence")
        .order_by("id")
    )


def _approval(approval: Approval) -> dict[str, Any]:
    questionnaire = QUESTIONNAIRES.get(approval.questionnaire_version)
    return {
        "id": str(approval.id),
        "state": approval.state,
        "subject": {"label": approval.subject_label, "digest": approval.subject_digest},
        "publisher": approval.tenant.name,
        "purpose": approval.purpose,
        "risk_class": approval.risk_class,
        "because": [b.as_json() for b in because_of(approval.questionnaire_version, approval.risk_because)],
        "questionnaire": {
            "version": approval.questionnaire_version,
            "digest": questionnaire.digest if questionnaire else "",
            "answers": [
                {
                    "question": question.id,
                    "text": question.text.by_language["en"],
                    "answer": approval.questionnaire[question.id],
                    "frameworks": {key: list(clauses) for key, clauses in question.frameworks.items()},
                }
                for question in (questionnaire.questions if questionnaire else ())
                if question.id in approval.questionnaire
            ],
        },
        "evidence": [_evidence(item.given) for item in checklist(approval) if item.given is not None],
        "conditions": approval.conditions,
        "conditions_in_words": parse_terms(approval.conditions).sentences(),
        "requested_at": _at(approval.requested_at),
        "decided_at": _at(approval.decided_at),
        "decided_by": approval.decided_by.get_full_name() or approval.decided_by.get_username()
        if approval.decided_by
        else "",
        "reason": approval.reason,
        "expires_at": _at(approval.expires_at),
    }


def _evidence(row: Evidence) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "digest": row.digest,
        "summary": row.summary,
        "supplied_at": _at(row.supplied_at),
    }


def _asset(asset: Asset | None) -> dict[str, Any]:
    if asset is None:
        return {}
    return {
        "type": asset.type,
        "id": asset.object_id,
        "name": asset.name,
        "digest": asset.digest,
        "label": asset.label,
        "subjects": asset.subjects,
        "region": asset.region,
        "licence": asset.licence,
        "purpose": asset.purpose,
        "retention_days": asset.retention_days,
        "erased_at": _at(asset.erased_at),
        "must_retrain_at": _at(asset.must_retrain_at),
    }


def _lineage(asset: Asset | None) -> list[dict[str, Any]]:
    """Where it came from, step by step towards the data; cycles and long histories end."""
    found: list[dict[str, Any]] = []
    frontier = [asset.id] if asset else []
    seen = set(frontier)
    while frontier and len(found) < MAX_LINEAGE:
        edges = LineageEdge.objects.select_related("source").filter(target__in=frontier).order_by("id")
        frontier = []
        for edge in edges:
            found.append({"relation": edge.relation, "at": _at(edge.at), "source": _asset(edge.source)})
            if edge.source_id not in seen:
                seen.add(edge.source_id)
                frontier.append(edge.source_id)
    return found[:MAX_LINEAGE]


def _incidents(target: ObjectRef, binding: Binding | None, tenant_id: UUID) -> Iterable[Incident]:
    wanted = Q(subject_type=target.type, subject_id=target.id)
    if binding is not None:
        wanted |= Q(subject_type=binding.subject_type, subject_id=binding.subject_id)
    return Incident.objects.filter(wanted, tenant_id=tenant_id).order_by("id")


def _incident(row: Incident) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "title": row.title,
        "description": row.description,
        "severity": row.severity,
        "serious": row.serious,
        "state": row.state,
        "occurred_at": _at(row.occurred_at),
        "aware_at": _at(row.aware_at),
        "report_due_at": _at(row.report_due_at),
        "reported_to": row.reported_to,
        "reported_at": _at(row.reported_at),
        "corrective_action": row.corrective_action,
        "closed_at": _at(row.closed_at),
    }


def _changes(target: ObjectRef, approvals: list[Approval], tenant_id: UUID) -> list[dict[str, Any]]:
    """Audit entries of the object and of its approvals, oldest first. Names only from the tenant's own chain."""
    wanted = Q(tenant_id=tenant_id, target_type=target.type, target_id=target.id)
    if approvals:
        ids = [str(approval.id) for approval in approvals]
        wanted |= Q(target_type="ethics.approval", target_id__in=ids)
    rows = AuditEntry.objects.filter(wanted).exclude(action=EXPORT).order_by("-at", "-sequence")[:MAX_CHANGES]
    return [
        {
            "at": _at(row.at),
            "sequence": row.sequence,
            "action": row.action,
            "decision": row.decision,
            "actor": row.actor_label if row.tenant_id == tenant_id else "",
            "actor_kind": row.actor_kind,
            "reason": row.reason,
            "entry_hash": row.entry_hash,
        }
        for row in reversed(rows)
    ]


def _at(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _times(value: Any, name: str = "") -> Iterable[str]:
    """Every time in the past that the document names: the newest says how recent it is."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _times(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from _times(part)
    elif isinstance(value, str) and (name == "at" or name.endswith("_at")) and name not in PLANNED:
        yield value


PLANNED = frozenset({"expires_at", "report_due_at"})
