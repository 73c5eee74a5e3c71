"""How a model version describes itself in an evidence bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError

from governance.ethics.subjects import register_description
from governance.refs import ObjectRef
from inference.registry.models import ModelVersion

TYPE = "registry.modelversion"


def describe(target: ObjectRef) -> Mapping[str, Any] | None:
    """The version with its signature, figures and card, if the row scope shows it."""
    try:
        version = ModelVersion.objects.select_related("model").filter(pk=target.id).first()
    except ValidationError:
        return None
    if version is None:
        return None
    return {
        "tenant_id": str(version.tenant_id),
        "label": str(version),
        "digest": version.sha256,
        "format": version.format,
        "state": version.state,
        "size_bytes": version.size_bytes,
        "inputs": version.inputs,
        "outputs": version.outputs,
        "data_labels": version.labels,
        "figures": version.metrics,
        "card": version.card,
        "source": {
            "type": version.source_type,
            "id": version.source_id,
            "digest": version.source_digest,
            "label": version.source_label,
        },
        "created_at": version.created_at.isoformat(),
        "state_changed_at": version.state_changed_at.isoformat(),
    }


def register() -> None:
    """Hand bundles the description."""
    register_description(TYPE, describe)
