"""OAuth 2.0 clients. Tokens and grants are django-oauth-toolkit's own tables."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from oauth2_provider.models import AbstractApplication

from governance.ids import uuid7
from governance.tenants.models import Tenant, User


class Application(AbstractApplication):
    """A program that calls the platform: bound to one tenant, with a service account that grants hang on."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", verbose_name=_("tenant"))
    user = models.ForeignKey(
        User,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("accountable person"),
    )
    service_user = models.OneToOneField(
        User,
        on_delete=models.PROTECT,
        related_name="service_application",
        verbose_name=_("service account"),
        help_text=_("The account whose grants this client has. Nobody can sign in with it."),
    )
    allowed_scopes = models.JSONField(
        _("scopes"), default=list, help_text=_("The most that a token of this client can ever carry.")
    )
    disabled_at = models.DateTimeField(_("disabled"), null=True, blank=True)

    class Meta(AbstractApplication.Meta):
        swappable = "OAUTH2_PROVIDER_APPLICATION_MODEL"
        verbose_name = _("application")
        verbose_name_plural = _("applications")
        ordering = ["name"]

    def is_usable(self, request: object) -> bool:
        """Asked by the token endpoint: a disabled client or one of a suspended tenant gets no token."""
        return self.disabled_at is None and self.tenant.suspended_at is None and self.service_user.is_active
