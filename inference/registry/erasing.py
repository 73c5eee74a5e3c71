"""What an erasure means for model versions."""

from __future__ import annotations

from uuid import UUID

from django.utils.translation import gettext as _

from governance.data import erasers
from governance.data.erasers import Handled, Outcome
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from inference.registry.cataloguing import REFERENCE, TYPE
from inference.registry.models import ModelVersion
from inference.registry.references import drop_reference
from inference.registry.services import erase_version


def _erase(target: ObjectRef, tenant_id: UUID) -> Handled:
    return Handled(Outcome.MUST_RETRAIN, _("it was made from the erased data; train it again without"))


def _erase_root(target: ObjectRef, tenant_id: UUID) -> Handled:
    try:
        known = ModelVersion.objects.filter(pk=UUID(target.id), tenant_id=tenant_id).exists()
    except ValueError:
        known = False
    if not known:
        return Handled(Outcome.NOTHING, _("it is not there any more"))
    erase_version(principal=SYSTEM, version_id=UUID(target.id), reason=_("It was erased."))
    return Handled(Outcome.ERASED, _("it is retired, and its artifact was removed"))


def _erase_reference(target: ObjectRef, tenant_id: UUID) -> Handled:
    if not drop_reference(principal=SYSTEM, version_id=UUID(target.id), reason=_("Its data was erased.")):
        return Handled(Outcome.NOTHING, _("it is not there any more"))
    return Handled(Outcome.ERASED, _("the counts of its training data were removed"))


def register_erasers() -> None:
    """A version cannot forget what it was trained on; to be erased itself, it is retired and loses its artifact."""
    erasers.register(TYPE, erase=_erase, erase_root=_erase_root)
    erasers.register(REFERENCE, erase=_erase_reference)
