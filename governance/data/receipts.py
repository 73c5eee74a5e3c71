"""Receipts of erasures: what was found, what became of it, signed so that it can be shown to somebody outside."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Signature

from governance.data.models import Erasure
from governance.keys.providers import public_keys, signer

KEY = "data-receipts"


def canonical(receipt: dict[str, Any]) -> bytes:
    """The bytes that are signed: JSON with sorted keys and without spaces."""
    return json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def write_receipt(erasure: Erasure) -> None:
    """Put the signed receipt onto a finished erasure; the caller saves it."""
    erasure.receipt = {
        "type": "openclaw.erasure-receipt/1",
        "erasure": str(erasure.id),
        "tenant": str(erasure.tenant_id),
        "what": erasure.kind,
        "reference": erasure.reference,
        "reason": erasure.reason,
        "requested_by": erasure.requested_by_label,
        "requested_at": erasure.requested_at.isoformat(),
        "finished_at": erasure.finished_at.isoformat() if erasure.finished_at else "",
        "state": erasure.state,
        "places": [
            {
                "type": place.type,
                "id": place.object_id,
                "name": place.name,
                "digest": place.digest,
                "outcome": place.outcome,
                "reason": place.reason,
                "at": place.at.isoformat() if place.at else "",
                "done_by": place.confirmed_by_label,
            }
            for place in erasure.places.order_by("depth", "id")
        ],
    }
    data = canonical(erasure.receipt)
    erasure.receipt_digest = hashlib.sha256(data).hexdigest()
    erasure.signature = signer(KEY).sign(data).to_dict()


def is_genuine(receipt: dict[str, Any], signature: dict[str, Any]) -> bool:
    """Whether this house signed exactly this receipt."""
    signed = Signature.from_dict(dict(signature))
    for key in public_keys(KEY):
        try:
            key.verify_signature(signed, canonical(receipt))
        except (UnverifiedSignatureError, VerificationError):
            continue
        return True
    return False
