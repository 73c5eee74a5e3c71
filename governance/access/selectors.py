"""Reading identities."""

from __future__ import annotations

from uuid import UUID

from django.utils.translation import gettext as _

from governance.access.models import Application
from governance.errors import NotFound


def usable_application(*, application_id: UUID, tenant_id: UUID) -> Application:
    """A tenant's OAuth 2.0 client that is not disabled, with its service account. Raises NotFound."""
    rows = Application.objects.select_related("service_user")
    found = rows.filter(pk=application_id, tenant_id=tenant_id, disabled_at=None).first()
    if found is None:
        raise NotFound(_("There is no such application in this tenant."))
    return found
