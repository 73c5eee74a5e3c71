"""Who may use one thing: by a grant on it, or by a role that the rules of its actions name."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext as _

from governance.access.rules import ActionRule, registered_actions
from governance.errors import InvalidInput, NotFound

# The kinds of action by which a thing is used, rather than looked at or administered.
USES = frozenset({"invoke", "read_data"})
LISTED = 200


@dataclass(frozen=True, slots=True)
class Thing:
    """An object of the tenant that can be used: `type` is `app.model`."""

    type: str
    id: str
    label: str

    @property
    def key(self) -> str:
        """How a form and an address name it."""
        return f"{self.type}:{self.id}"


def used_types() -> dict[str, type[models.Model]]:
    """The models whose objects are used by actions of their own (`rollouts.endpoint.invoke`), by `app.model`."""
    found: dict[str, type[models.Model]] = {}
    for name, rule in registered_actions().items():
        type_ = name.rpartition(".")[0]
        if not USES.isdisjoint(rule.groups):
            try:
                found[type_] = apps.get_model(type_)
            except LookupError:  # its objects are known by another name, such as the result of a batch job
                continue
    return dict(sorted(found.items()))


def use_rules(type_: str) -> list[ActionRule]:
    """The rules of the actions that use a thing of this type."""
    return [
        rule
        for name, rule in registered_actions().items()
        if name.rpartition(".")[0] == type_ and not USES.isdisjoint(rule.groups)
    ]


def roles_that_use(type_: str) -> frozenset[str]:
    """The roles that may use every thing of this type in their tenant, without a grant."""
    return frozenset(role.value for rule in use_rules(type_) for role in rule.roles)


def find_thing(tenant_id: UUID, key: str) -> Thing:
    """The thing of this tenant with this key. Raises InvalidInput, NotFound."""
    type_, _colon, id_ = key.partition(":")
    model = used_types().get(type_)
    if model is None:
        raise InvalidInput(
            _("“%(type)s” is no kind of thing that is used.") % {"type": type_[:100]},
            hint=_("Kinds: %(kinds)s.") % {"kinds": ", ".join(used_types())},
        )
    try:
        item = model._default_manager.filter(pk=id_, tenant_id=tenant_id).first()
    except ValidationError:
        item = None
    if item is None:
        raise NotFound(_("There is no such thing in this organisation."))
    return Thing(type_, str(item.pk), str(item))


def things(tenant_id: UUID) -> list[tuple[str, list[Thing]]]:
    """What can be chosen, by kind as people read it: the newest of each. One query per kind."""
    found = []
    for type_, model in used_types().items():
        rows = model._default_manager.filter(tenant_id=tenant_id).order_by("-pk")[:LISTED]
        named = sorted((Thing(type_, str(row.pk), str(row)) for row in rows), key=lambda thing: thing.label)
        if named:
            found.append((str(model._meta.verbose_name_plural), named))
    return found
