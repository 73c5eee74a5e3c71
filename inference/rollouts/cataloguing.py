"""Endpoints in the data catalogue, and the way from a prediction to the version that made it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _

from governance.data import erasers, lineage, people
from governance.data.erasers import Handled, Outcome
from governance.data.labels import LABELS
from governance.data.lineage import Trace
from governance.data.selectors import asset_of
from governance.data.services import catalogue
from governance.oversight.erasing import tasks_about
from governance.refs import ObjectRef
from inference.registry.cataloguing import enter_version, version_ref
from inference.registry.models import ModelVersion
from inference.rollouts.models import Endpoint, Feedback, OutcomeRecord, Rollout, SplitChange

TYPE = "rollouts.endpoint"
OUTCOMES = "rollouts.outcomes"
# A record is written when the answer was given; its request id was made when the request came.
SPREAD = timedelta(hours=1)


def enter_endpoint(endpoint: Endpoint, versions: Iterable[ModelVersion]) -> None:
    """An endpoint is at least as restricted as every version that it ever sent traffic to."""
    refs = []
    for version in versions:
        refs.append(version_ref(version))
        if asset_of(refs[-1], tenant_id=version.tenant_id) is None:
            enter_version(version)
    catalogue(
        ObjectRef.of(endpoint),
        tenant_id=endpoint.tenant_id,
        label=LABELS[0],
        came_of=dict.fromkeys(refs, "deployed_to"),
    )


def trace_prediction(request_id: str, tenant_id: UUID) -> Trace | None:
    """The version that answered a request, from its outcome record."""
    rows = OutcomeRecord.objects.filter(
        tenant_id=tenant_id, request_id=request_id, model_version__isnull=False
    )
    if made := _made_at(request_id):
        rows = rows.filter(at__gte=made - SPREAD, at__lte=made + SPREAD)
    record = rows.select_related("endpoint", "model_version__model").first()
    if record is None or record.model_version is None:
        return None
    return Trace(
        version_ref(record.model_version),
        {
            str(_("Endpoint")): record.endpoint.name,
            str(_("Answered")): record.at.isoformat(timespec="seconds"),
            str(_("Status")): str(record.status),
            str(_("Rows")): str(record.rows),
            str(_("Caller")): record.principal_id,
        },
    )


def _made_at(request_id: str) -> datetime | None:
    """When a UUID version 7 was made, so that only a few pages of the table are looked at."""
    try:
        value = UUID(request_id)
    except ValueError:
        return None
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC) if value.version == 7 else None


def _endpoint_holds_nothing(target: ObjectRef, tenant_id: UUID) -> Handled:
    return Handled(Outcome.NOTHING, _("it only sends requests to its versions"))


def _outcomes_of(subject: str, tenant_id: UUID) -> Iterable[ObjectRef]:
    outcomes = OutcomeRecord.objects.filter(tenant_id=tenant_id, principal_id=subject)
    if outcomes.exists() or Feedback.objects.filter(tenant_id=tenant_id, sender_id=subject).exists():
        yield ObjectRef(OUTCOMES, subject, label=str(_("Outcome records of %(key)s")) % {"key": subject})


def _oversight_of(subject: str, tenant_id: UUID) -> Iterable[ObjectRef]:
    """The questions to people about answers that this caller was given."""
    rows = OutcomeRecord.objects.filter(tenant_id=tenant_id, principal_id=subject)
    return tasks_about(rows.values_list("request_id", flat=True), tenant_id)


def _erase_outcomes(target: ObjectRef, tenant_id: UUID) -> Handled:
    outcomes = OutcomeRecord.objects.filter(tenant_id=tenant_id, principal_id=target.id)
    feedback = Feedback.objects.filter(tenant_id=tenant_id)
    of_them = Q(sender_id=target.id) | Q(decision_id__in=outcomes.values("id"))
    told, _kinds = feedback.filter(of_them).delete()
    count, _kinds = outcomes.delete()
    count += told
    return Handled(Outcome.ERASED, _("%(count)d records were deleted") % {"count": count})


def register_with_catalogue() -> None:
    """Hand the catalogue what it cannot know: erasers and the resolver of predictions."""
    erasers.register(TYPE, erase=_endpoint_holds_nothing)
    erasers.register(OUTCOMES, erase=_erase_outcomes, find=_outcomes_of)
    erasers.find_also("rollouts.oversight", _oversight_of)
    people.cover(OutcomeRecord, "principal_id")
    people.keep(SplitChange, "actor_id", people.KEPT_BY_LAW, also=["actor_label"])
    people.keep(Rollout, "started_by_id", people.KEPT_BY_LAW, also=["started_by_label"])
    lineage.register_resolver("prediction", trace_prediction)
