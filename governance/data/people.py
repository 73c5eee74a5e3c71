"""What rows tell about people: how an erasure of a person forgets them, makes them a pseudonym, or says why they stay.

A table that names its people by account (a foreign key) needs nothing here: the account becomes a pseudonym itself. A
table that keeps an id or a name of its own is registered, or `tests/governance/data/test_people.py` fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import QuerySet
from django.utils.crypto import salted_hmac
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.access.models import RegisteredDevice
from governance.audit.models import AuditEntry, ChainCut, ChainVerification, LegalHold
from governance.data import erasers
from governance.data.erasers import Handled, Outcome
from governance.data.models import Erasure, ErasurePlace, LineageEdge
from governance.principals import Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from governance.tenants.models import Membership, TenantModel, User

ACCOUNT = "tenants.user"
ERASED = "erased person"
KEPT_BY_LAW = gettext_lazy("it says who did what and never holds content; the law wants it kept")

# Columns that tell about people and are reached, by table; and why those of other tables stay.
handled: dict[str, set[str]] = {}
staying: dict[str, str | Promise] = {}


def pseudonym(subject: str, tenant_id: UUID) -> str:
    """What stands in a person's place: always the same in one tenant, and nobody without the site's key can make it."""
    return "erased-" + salted_hmac("openclaw.erased", f"{tenant_id}:{subject}").hexdigest()[:32]


def forget(model: type[models.Model], column: str) -> None:
    """Rows whose `column` is the person are deleted."""

    def erase(target: ObjectRef, tenant_id: UUID) -> Handled:
        count, _kinds = _rows(model, column, target.id, tenant_id).delete()
        return Handled(Outcome.ERASED, _("%(count)d records were deleted") % {"count": count})

    _register(model, column, erase, {column})


def pseudonymise(model: type[models.Model], column: str, *, instead: Mapping[str, Any] | None = None) -> None:
    """Rows whose `column` is the person stay, without them: `instead` says what their other columns become."""

    def erase(target: ObjectRef, tenant_id: UUID) -> Handled:
        news = dict(instead or {})
        field = model._meta.get_field(column)
        if isinstance(field, models.CharField):
            news[column] = pseudonym(target.id, tenant_id)
        elif field.null:
            news[column] = None
        count = _rows(model, column, target.id, tenant_id).update(**news)
        return Handled(Outcome.ERASED, _("%(count)d records stay under a pseudonym") % {"count": count})

    _register(model, column, erase, {column, *(instead or {})})


def keep(model: type[models.Model], column: str, reason: str | Promise, *, also: Iterable[str] = ()) -> None:
    """Rows whose `column` is the person stay as they are; the receipt says why."""
    stay(model, reason=reason)
    _register(model, column, lambda target, _tenant: Handled(Outcome.RETAINED, str(reason)), {column, *also})


def stay(*tables: type[models.Model], reason: str | Promise) -> None:
    """Rows of these tables stay, and a place that every erasure lists says why."""
    for model in tables:
        staying[model._meta.label_lower] = reason


def cover(model: type[models.Model], *columns: str) -> None:
    """An eraser of its own reaches these columns."""
    handled.setdefault(model._meta.label_lower, set()).update(columns)


def _register(model: type[models.Model], column: str, erase: erasers.Erase, columns: set[str]) -> None:
    cover(model, *columns)
    kind = f"{model._meta.label_lower}.{column}"

    def find(subject: str, tenant_id: UUID) -> Iterable[ObjectRef]:
        if _rows(model, column, subject, tenant_id).exists():
            what = {"what": str(model._meta.verbose_name_plural), "key": subject}
            yield ObjectRef(kind, subject, label=_("%(what)s of %(key)s") % what)

    erasers.register(kind, erase=erase, find=find)


def _rows(model: type[models.Model], column: str, subject: str, tenant_id: UUID) -> QuerySet[Any]:
    rows: QuerySet[Any] = model._base_manager.filter(tenant_id=tenant_id)
    if isinstance(model._meta.get_field(column), models.CharField):
        return rows.filter(**{column: subject})
    user_id = _id(subject)
    return rows.filter(**{column: user_id}) if user_id else rows.none()


def _id(subject: str) -> UUID | None:
    try:
        return UUID(subject)
    except ValueError:
        return None


def _account_of(subject: str, tenant_id: UUID) -> Iterable[ObjectRef]:
    user_id = _id(subject)
    if user_id and Membership.objects.filter(tenant_id=tenant_id, user_id=user_id).exists():
        yield ObjectRef(ACCOUNT, str(user_id), label=_("Account %(key)s") % {"key": subject})


def _erase_account(target: ObjectRef, tenant_id: UUID) -> Handled:
    """End the memberships here; an account that belongs to nobody else becomes a pseudonym that cannot sign in."""
    here = Membership.objects.filter(tenant_id=tenant_id)
    admins = here.filter(role=Role.TENANT_ADMIN)
    if admins.filter(user_id=target.id).exists() and not admins.exclude(user_id=target.id).exists():
        return Handled(Outcome.BY_HAND, _("it is the only administrator; name another one, then try again"))
    here.filter(user_id=target.id).delete()
    with platform_scope():
        elsewhere = Membership.objects.filter(user_id=target.id).exists()
    if elsewhere:
        return Handled(
            Outcome.RETAINED, _("it belongs to other organisations as well; its membership here has ended")
        )
    user = User.objects.select_for_update().filter(pk=target.id).first()
    if user is None:
        return Handled(Outcome.NOTHING, _("it is not there any more"))
    user.username = pseudonym(target.id, tenant_id)
    user.first_name = user.last_name = user.email = user.language = ""
    user.is_active = False
    user.set_unusable_password()
    user.save()
    for relation in User._meta.related_objects:
        # Addresses, factors, passkeys and linked sign-ins, of whichever library: what would go with the account.
        model = relation.related_model
        if not issubclass(model, TenantModel) and relation.on_delete is models.CASCADE:
            with transaction.atomic():
                model._base_manager.filter(**{relation.field.name: user}).delete()
    return Handled(Outcome.ERASED, _("the account is a pseudonym now and cannot sign in"))


def own_people() -> None:
    """Register accounts, devices, and the people in this app's own rows."""
    erasers.register(ACCOUNT, erase=_erase_account, find=_account_of)
    stay(AuditEntry, ChainCut, ChainVerification, LegalHold, reason=KEPT_BY_LAW)
    forget(RegisteredDevice, "user")
    pseudonymise(LineageEdge, "by_id", instead={"by_label": ERASED})
    keep(
        Erasure,
        "requested_by",
        gettext_lazy("it proves who had what erased; the receipt is signed"),
        also=["requested_by_label"],
    )
    keep(
        ErasurePlace,
        "confirmed_by",
        gettext_lazy("it proves who had what erased; the receipt is signed"),
        also=["confirmed_by_label"],
    )
