"""Who has what: object grants kept by django-guardian, asked and changed in one place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from uuid import UUID

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
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


def objects_of(rows: Iterable[UserObjectPermission], tenant_id: UUID) -> dict[tuple[int, str], models.Model]:
    """The objects of these grants that belong to this tenant and that the caller may see, by content type and id.

    The grants' own table knows no tenant and has no row security: an account of two tenants has grants in both, and
    whose a grant is can be told by its object only. One query per kind of object.
    """
    wanted: dict[int, set[str]] = defaultdict(set)
    for row in rows:
        wanted[row.content_type_id].add(row.object_pk)
    found: dict[tuple[int, str], models.Model] = {}
    for type_id, ids in wanted.items():
        model = ContentType.objects.get_for_id(type_id).model_class()
        if model is not None and _is_a_tenants(model):
            for item in model._default_manager.filter(pk__in=ids, tenant_id=tenant_id):
                found[type_id, str(item.pk)] = item
    return found


def grants_in(rows: Iterable[UserObjectPermission], tenant_id: UUID) -> list[UserObjectPermission]:
    """Those of these grants that are on objects of this tenant."""
    given = list(rows)
    objects = objects_of(given, tenant_id)
    return [row for row in given if (row.content_type_id, row.object_pk) in objects]


def _is_a_tenants(model: type[models.Model]) -> bool:
    try:
        model._meta.get_field("tenant")
    except FieldDoesNotExist:
        return False
    return True
