"""A program's own right to have work done on one dataset: an object grant, given one by one."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.access.grants import give_grant, take_grant
from governance.access.selectors import usable_application
from governance.audit.services import record
from governance.data.models import Dataset
from governance.data.policies import READ_GRANT
from governance.errors import NotFound
from governance.principals import Principal
from governance.refs import ObjectRef


def grant_reading(*, principal: Principal, dataset_id: UUID, application_id: UUID) -> None:
    """Let an OAuth 2.0 client name the dataset as the input of its work. Doing it twice changes nothing."""
    _set(principal=principal, dataset_id=dataset_id, application_id=application_id, give=True)


def revoke_reading(*, principal: Principal, dataset_id: UUID, application_id: UUID) -> None:
    """Take the right away again; every process refuses the client within a second."""
    _set(principal=principal, dataset_id=dataset_id, application_id=application_id, give=False)


@transaction.atomic
def _set(*, principal: Principal, dataset_id: UUID, application_id: UUID, give: bool) -> None:
    dataset = Dataset.objects.select_for_update(of=("self",)).filter(pk=dataset_id).first()
    if dataset is None:
        raise NotFound(_("There is no such dataset."))
    require(principal, "access.grant.manage", dataset)
    application = usable_application(application_id=application_id, tenant_id=dataset.tenant_id)
    change = give_grant if give else take_grant
    change(user=application.service_user, permission=READ_GRANT, target=dataset)
    record(
        principal=principal,
        action="data.dataset.grant" if give else "data.dataset.revoke",
        target=ObjectRef.of(dataset, digest=dataset.digest),
        tenant_id=dataset.tenant_id,
        details={"application": str(application.id), "name": application.name},
    )
