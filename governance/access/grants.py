"""Who has what: object grants kept by django-guardian, asked and changed in one place."""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

from django.contrib.auth.models import Permission
from django.db import models
from guardian.models import UserObjectPermission
from guardian.shortcuts import assign_perm, remove_perm

from governance.tenants.models import User


def has_grant(*, user_id: UUID, permission: str, object_id: str) -> bool:
    """Whether the account holds `app_label.codename` on exactly this object. One query."""
    return UserObjectPermission.objects.filter(
        user_id=user_id, object_pk=object_id, permission_id=_permission_id(permission)
    ).exists()


@lru_cache(maxsize=1024)
def _permission_id(permission: str) -> int:
    """Permissions are made by migrations and never change their number afterwards."""
    app_label, codename = permission.split(".", 1)
    found = Permission.objects.get(codename=codename, content_type__app_label=app_label)
    return int(found.pk)


def give_grant(*, user: User, permission: str, target: models.Model) -> None:
    """Give the account one permission on one object; giving it twice changes nothing."""
    assign_perm(permission, user, target)


def take_grant(*, user: User, permission: str, target: models.Model) -> None:
    """Take it back; the trigger on the grant table tells every process within a second."""
    remove_perm(permission, user, target)


def holders(*, permission: str, object_id: str) -> models.QuerySet[User]:
    """The accounts that hold a permission on an object."""
    app_label, codename = permission.split(".", 1)
    wanted = Permission.objects.filter(codename=codename, content_type__app_label=app_label)
    ids = UserObjectPermission.objects.filter(object_pk=object_id, permission__in=wanted).values("user_id")
    return User.objects.filter(id__in=ids)
