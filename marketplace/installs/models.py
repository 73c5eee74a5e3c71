"""Installations of plugins in tenants, and exactly the rights that were granted to them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from governance.tenants.models import TenantModel
from marketplace.catalog.models import Plugin, PluginVersion


class Installation(TenantModel):
    """A plugin in a tenant. `version` is what was asked for last, `active_version` what is really in place."""

    class State(models.TextChoices):
        INSTALLING = "installing", _("being installed")
        ACTIVE = "active", _("installed")
        FAILED = "failed", _("failed")
        SUSPENDED = "suspended", _("suspended")
        UNINSTALLED = "uninstalled", _("uninstalled")

    plugin = models.ForeignKey(Plugin, on_delete=models.PROTECT, related_name="+", verbose_name=_("plugin"))
    version = models.ForeignKey(
        PluginVersion, on_delete=models.PROTECT, related_name="+", verbose_name=_("version")
    )
    active_version = models.ForeignKey(
        PluginVersion,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("version in place"),
    )
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.INSTALLING)
    error = models.TextField(_("last error"), blank=True)
    reason = models.TextField(_("reason"), blank=True, help_text=_("Why it was suspended or uninstalled."))
    produced = models.JSONField(
        _("gave the tenant"), default=list, blank=True, help_text=_("Model versions, endpoints and skills.")
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", verbose_name=_("requested by")
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    lease_until = models.DateTimeField(
        _("lease"), null=True, blank=True, help_text=_("After it the work is taken for lost and begun again.")
    )
    created_at = models.DateTimeField(_("requested"), auto_now_add=True)
    state_changed_at = models.DateTimeField(_("state since"), auto_now_add=True)

    class Meta:
        verbose_name = _("installation")
        verbose_name_plural = _("installations")
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "plugin"],
                condition=~Q(state="uninstalled"),
                name="installs_once_per_tenant",
            )
        ]
        indexes = [models.Index(fields=["state", "lease_until"], name="installs_stalled")]

    def __str__(self) -> str:
        return f"{self.plugin} {self.version.version}"


class PermissionGrant(TenantModel):
    """One right that an administrator granted to one version of an installed plugin."""

    installation = models.ForeignKey(
        Installation, on_delete=models.PROTECT, related_name="grants", verbose_name=_("installation")
    )
    version = models.ForeignKey(
        PluginVersion, on_delete=models.PROTECT, related_name="+", verbose_name=_("version")
    )
    permission = models.CharField(_("right"), max_length=400, help_text=_("For example network:host."))
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", verbose_name=_("granted by")
    )
    granted_at = models.DateTimeField(_("granted"), auto_now_add=True)

    class Meta:
        verbose_name = _("granted right")
        verbose_name_plural = _("granted rights")
        ordering = ["permission"]
        constraints = [
            models.UniqueConstraint(
                fields=["installation", "version", "permission"], name="installs_grant_once"
            )
        ]

    def __str__(self) -> str:
        return self.permission
