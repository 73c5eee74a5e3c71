"""Releases: the background work that brings an approved version into the signed repository."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.tenants.models import TenantModel
from marketplace.catalog.models import PluginVersion


class Release(TenantModel):
    """One version's publication. The row, with its lease, survives the worker that works on it."""

    class State(models.TextChoices):
        QUEUED = "queued", _("waiting")
        PUBLISHING = "publishing", _("being published")
        PUBLISHED = "published", _("published")
        REMOVED = "removed", _("removed")

    plugin_version = models.OneToOneField(
        PluginVersion, on_delete=models.PROTECT, related_name="release", verbose_name=_("plugin version")
    )
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.QUEUED)
    target_path = models.CharField(_("target"), max_length=300)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    lease_until = models.DateTimeField(
        _("lease"), null=True, blank=True, help_text=_("After it the work is taken for lost and begun again.")
    )
    error = models.TextField(_("last error"), blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    published_at = models.DateTimeField(_("published"), null=True, blank=True)
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)

    class Meta:
        verbose_name = _("release")
        verbose_name_plural = _("releases")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["state", "lease_until"], name="distribution_stalled")]

    def __str__(self) -> str:
        return self.target_path
