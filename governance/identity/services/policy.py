"""What a tenant demands of the sign-ins of its people."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.access.services import ROLES_BY_KIND
from governance.audit.services import record
from governance.errors import InvalidInput, NotFound
from governance.identity.models import IdentityPolicy
from governance.principals import Principal, Role
from governance.refs import ObjectRef
from governance.tenants.models import Tenant


@transaction.atomic
def set_policy(
    *,
    principal: Principal,
    tenant_id: UUID,
    second_factor_roles: Iterable[str],
    session_hours: int,
    idle_minutes: int,
) -> IdentityPolicy:
    """Set a tenant's rules. Sessions that are open keep to them within a minute.

    Whoever needs a second factor and has none is led to set one up and can do nothing else until then, so nobody is
    locked out.
    """
    require(principal, "identity.policy.manage", tenant_id=tenant_id)
    tenant = Tenant.objects.filter(pk=tenant_id).first()
    if tenant is None:
        raise NotFound(_("There is no such tenant."))
    roles = sorted(set(second_factor_roles))
    known = people_roles(tenant)
    if unknown := [role for role in roles if role not in known]:
        raise InvalidInput(
            _("The role %(role)s does not exist in a tenant of this kind.") % {"role": unknown[0]},
            hint=_("Roles here: %(roles)s.") % {"roles": ", ".join(sorted(known))},
        )
    policy, _created = IdentityPolicy.objects.select_for_update(of=("self",)).get_or_create(tenant=tenant)
    policy.second_factor_roles = roles
    policy.session_hours = session_hours
    policy.idle_minutes = idle_minutes
    try:
        policy.clean_fields()
    except ValidationError as error:
        raise InvalidInput(
            _("Some fields are not valid."),
            errors=[
                {"pointer": f"/{name}", "detail": " ".join(texts)}
                for name, texts in error.message_dict.items()
            ],
        ) from error
    policy.save()
    record(
        principal=principal,
        action="identity.policy.set",
        target=ObjectRef.of(policy),
        tenant_id=tenant_id,
        details={
            "second_factor_roles": roles,
            "session_hours": session_hours,
            "idle_minutes": idle_minutes,
        },
    )
    return policy


def people_roles(tenant: Tenant) -> frozenset[str]:
    """The roles that people can have in a tenant of this kind."""
    return frozenset(role.value for role in ROLES_BY_KIND[Tenant.Kind(tenant.kind)] - {Role.SERVICE})
