"""Handing out a bundle: decided, gathered, signed, and written to the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from governance.access.decisions import require
from governance.audit.services import record
from governance.errors import NotFound
from governance.ethics import subjects
from governance.ethics.bundles.content import EXPORT, canonical, gather
from governance.ethics.bundles.signing import KEY, archive
from governance.keys.providers import signer
from governance.principals import Principal
from governance.refs import ObjectRef

Form = Literal["zip", "json", "pdf"]
TYPES: dict[str, str] = {"zip": "application/zip", "json": "application/json", "pdf": "application/pdf"}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A file to hand out."""

    name: str
    media_type: str
    data: bytes
    sha256: str


@transaction.atomic
def export_bundle(*, principal: Principal, target: ObjectRef, form: Form = "zip") -> Bundle:
    """Everything known about an object: the ZIP holds JSON and PDF with their signatures. In the caller's row scope."""
    described = subjects.describe(target)
    if described is None:
        raise NotFound(_("There is no such object, or no bundle can be made of it."))
    told = dict(described)
    tenant_id = UUID(str(told["tenant_id"]))
    exact = ObjectRef(target.type, target.id, str(told.get("digest", "")), str(told.get("label", "")))
    require(principal, "ethics.bundle.export", exact, tenant_id=tenant_id)
    document = gather(exact, told, tenant_id=tenant_id)
    written = canonical(document)
    digest = sha256(written).hexdigest()
    record(
        principal=principal,
        action=EXPORT,
        target=exact,
        tenant_id=tenant_id,
        details={"form": form, "bundle_sha256": digest},
    )
    name = f"evidence-{exact.id}"
    if form == "json":
        return Bundle(f"{name}.json", TYPES[form], written, digest)
    from governance.ethics.bundles.paper import pdf_of  # ReportLab is large, and few processes ever print

    paper = pdf_of(document, digest=digest)
    if form == "pdf":
        return Bundle(f"{name}.pdf", TYPES[form], paper, digest)
    zipped = archive({"bundle.json": written, "bundle.pdf": paper}, signer(KEY))
    return Bundle(f"{name}.zip", TYPES[form], zipped, digest)
