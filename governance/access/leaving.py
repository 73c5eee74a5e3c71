"""Before somebody leaves, and what goes with them, so that nothing comes back by itself when they return.

A role that is given again brings no old grants and tokens back, and an account that is enabled again opens no old
session. What other apps of the ground keep of an account goes by a hook that they register.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _
from guardian.models import UserObjectPermission
from oauth2_provider.models import get_access_token_model, get_grant_model, get_refresh_token_model

from governance.access.grants import grants_in
from governance.errors import Conflict
from governance.principals import Principal, Role
from governance.tenants.models import Membership, User

LAST_ADMINISTRATOR = "last-administrator"
ADMINISTRATORS = frozenset({Role.TENANT_ADMIN.value, Role.PLATFORM_ADMIN.value})

OnLeft = Callable[[Principal, User, UUID], None]
OnDisabled = Callable[[Principal, User], None]

_on_left: list[OnLeft] = []
_on_disabled: list[OnDisabled] = []


def on_left(hook: OnLeft) -> None:
    """Call `hook(principal, user, tenant id)` when an account lost its last role in a tenant."""
    _on_left.append(hook)


def on_disabled(hook: OnDisabled) -> None:
    """Call `hook(principal, user)` when an account was disabled."""
    _on_disabled.append(hook)


def keep_an_administrator(*, tenant_id: UUID, role: str, without: UUID) -> None:
    """Raise Conflict where nobody else could give the role back if the account `without` lost it.

    Somebody else is a person with an enabled account who has the role for good. The rows are locked together, so that
    two administrators cannot remove each other at once and leave nobody.
    """
    if role not in ADMINISTRATORS:
        return
    held = Membership.objects.select_for_update(of=("self",)).filter(tenant_id=tenant_id, role=role)
    lasting = [m for m in held.select_related("user").order_by("pk") if m.expires_at is None]
    if not any(m.user_id == without and m.user.is_active for m in lasting):
        return
    if not any(m.user_id != without and m.user.is_active and not m.user.is_service_account for m in lasting):
        raise Conflict(
            _("This is the last administrator here; nobody could give the role back."),
            code=LAST_ADMINISTRATOR,
            hint=_("Make somebody else an administrator first."),
        )


def left(*, principal: Principal, user: User, tenant_id: UUID) -> dict[str, int]:
    """After a role was taken away: where it was the last one, take grants and tokens along. Returns how many."""
    if Membership.objects.filter(user=user, tenant_id=tenant_id).exists():
        return {}
    rows = grants_in(UserObjectPermission.objects.filter(user=user), tenant_id)
    UserObjectPermission.objects.filter(pk__in=[row.pk for row in rows]).delete()
    tokens = _delete_tokens(user, Q(application__tenant_id=tenant_id))
    for hook in _on_left:
        hook(principal, user, tenant_id)
    return {"grants_removed": len(rows), "tokens_deleted": tokens}


def disabled(*, principal: Principal, user: User) -> dict[str, int]:
    """After an account was disabled: end what would open with it when it is enabled again. Returns how many tokens."""
    tokens = _delete_tokens(user, Q())
    for hook in _on_disabled:
        hook(principal, user)
    return {"tokens_deleted": tokens}


def _delete_tokens(user: User, where: Q) -> int:
    own = (Q(user=user) | Q(user=None, application__service_user=user)) & where
    get_grant_model().objects.filter(own).delete()
    get_refresh_token_model().objects.filter(own).delete()
    tokens = get_access_token_model().objects.filter(own)
    count = tokens.count()
    tokens.delete()
    return count
