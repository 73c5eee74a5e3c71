"""Holding back what an installation gave its tenant: a suspended or blocked plugin answers nothing any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

from governance.principals import SYSTEM
from governance.tenants.context import tenant_context
from inference.registry import services as registry
from marketplace.installs.models import Installation
from skills.library import services as library

Service = Callable[..., object]
HOLD: dict[str, Service] = {"model_version": registry.hold_version, "skill_version": library.hold_version}
RELEASE: dict[str, Service] = {
    "model_version": registry.release_version,
    "skill_version": library.release_version,
}


def hold_back(installation: Installation, *, version: str | None = None, reason: str) -> None:
    """Stop the models and skills of one version of the plugin, or of all; every process hears of it at commit."""
    items = [item for item in installation.produced if version in (None, item["version"])]
    _apply(HOLD, installation, items, reason)


def release(installation: Installation, *, version: str, reason: str) -> None:
    """Let the models and skills of one version work again. What was blocked under another version stays held."""
    items = [item for item in installation.produced if item["version"] == version]
    _apply(RELEASE, installation, items, reason)


def _apply(
    services: dict[str, Service], installation: Installation, items: Iterable[dict[str, Any]], reason: str
) -> None:
    principal = replace(SYSTEM, tenant_id=installation.tenant_id, platform=False)
    with tenant_context(installation.tenant_id):
        for item in items:
            if service := services.get(item["kind"]):
                service(principal=principal, version_id=UUID(item["id"]), reason=reason)
