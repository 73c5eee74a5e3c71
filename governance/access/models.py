"""OAuth 2.0 clients, what their tokens are bound to, and registered devices.

Tokens and grants are django-oauth-toolkit's own tables.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from oauth2_provider.models import AbstractApplication

from governance.ids import uuid7
from governance.principals import Device, Factor
from governance.tenants.models import Tenant, TenantModel, User


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
    require_dpop = models.BooleanField(
        _("tokens must be bound to a key"),
        default=False,
        help_text=_(
            "The client gets tokens only with a DPoP proof (RFC 9449), so that a stolen one is of no use."
        ),
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


class TokenBinding(TenantModel):
    """What a code, an access token or a refresh token of the toolkit's tables is tied to.

    `jkt` is the thumbprint of the key that must sign with it (RFC 9449), `factor` and `factor_at` how and when the
    person who granted it had proven who they are. The row goes with its token, by a foreign key of the database.
    """

    grant = models.OneToOneField(
        "oauth2_provider.Grant",
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="binding",
        verbose_name=_("authorisation code"),
    )
    access_token = models.OneToOneField(
        "oauth2_provider.AccessToken",
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="binding",
        verbose_name=_("access token"),
    )
    refresh_token = models.OneToOneField(
        "oauth2_provider.RefreshToken",
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="binding",
        verbose_name=_("refresh token"),
    )
    jkt = models.CharField(_("key"), max_length=43, blank=True, db_index=True)
    factor = models.CharField(_("factor"), max_length=20, default=Factor.NONE.value)
    factor_at = models.DateTimeField(_("time of the factor"), null=True, blank=True)

    class Meta:
        verbose_name = _("token binding")
        verbose_name_plural = _("token bindings")
        constraints = [
            models.CheckConstraint(
                condition=Q(grant__isnull=False, access_token__isnull=True, refresh_token__isnull=True)
                | Q(grant__isnull=True, access_token__isnull=False, refresh_token__isnull=True)
                | Q(grant__isnull=True, access_token__isnull=True, refresh_token__isnull=False),
                name="access_binding_of_one_thing",
            )
        ]

    def __str__(self) -> str:
        return self.jkt or self.factor


class RegisteredDevice(TenantModel):
    """A machine known by its key, and whether it complies with the company's rules as last heard."""

    class Posture(models.TextChoices):
        UNKNOWN = Device.UNKNOWN.value, _("unknown")
        COMPLIANT = Device.COMPLIANT.value, _("compliant")
        NOT_COMPLIANT = Device.NOT_COMPLIANT.value, _("not compliant")

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+", verbose_name=_("user"))
    name = models.CharField(_("name"), max_length=120)
    jkt = models.CharField(
        _("key"), max_length=43, help_text=_("The thumbprint of its public key (RFC 7638).")
    )
    posture = models.CharField(_("posture"), max_length=20, choices=Posture.choices, default=Posture.UNKNOWN)
    posture_at = models.DateTimeField(_("posture known since"), null=True, blank=True)
    source = models.CharField(_("told by"), max_length=120, blank=True)
    registered_at = models.DateTimeField(_("registered"), auto_now_add=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)

    class Meta:
        verbose_name = _("device")
        verbose_name_plural = _("devices")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user", "jkt"], name="access_device_once"),
        ]

    def __str__(self) -> str:
        return self.name
