"""Reading identities."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from governance.access.models import Application
from governance.errors import NotFound
from governance.principals import Principal
from governance.tenants.models import Membership, User


def usable_application(*, application_id: UUID, tenant_id: UUID) -> Application:
    """A tenant's OAuth 2.0 client that is not disabled, with its service account. Raises NotFound."""
    rows = Application.objects.select_related("service_user")
    found = rows.filter(pk=application_id, tenant_id=tenant_id, disabled_at=None).first()
    if found is None:
        raise NotFound(_("There is no such application in this tenant."))
    return found


def visible_people(principal: Principal) -> QuerySet[User]:
    """The accounts of one's own tenant and nobody else's, for it is no directory; every account for platform roles."""
    rows = User.objects.order_by("username")
    if principal.platform:
        return rows
    if principal.tenant_id is None:
        return rows.none()
    return rows.filter(pk__in=Membership.objects.filter(tenant_id=principal.tenant_id).values("user_id"))
