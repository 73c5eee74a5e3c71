"""Who may tell us that an identity is in doubt, and what they told."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from governance.tenants.models import TenantModel


class Transmitter(TenantModel):
    """A company's source of security events (OpenID Shared Signals). It speaks about people of its tenant only."""

    name = models.CharField(_("name"), max_length=80)
    issuer = models.CharField(
        _("issuer"), max_length=500, help_text=_("The claim “iss” of its events, exactly.")
    )
    audience = models.CharField(
        _("audience"), max_length=500, help_text=_("The claim “aud” that its events must have for us.")
    )
    jwks_url = models.URLField(
        _("address of its keys"), max_length=500, blank=True, help_text=_("A JWK Set (RFC 7517) over https.")
    )
    jwks = models.JSONField(
        _("its keys"), null=True, blank=True, help_text=_("A JWK Set that is used instead of an address.")
    )
    internal_network = models.BooleanField(
        _("in the internal network"),
        default=False,
        help_text=_("Set by the platform's administrators: its address may be a private one."),
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    last_event_at = models.DateTimeField(_("last event"), null=True, blank=True)

    class Meta:
        verbose_name = _("event transmitter")
        verbose_name_plural = _("event transmitters")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "issuer", "audience"], name="events_transmitter_once"),
            models.CheckConstraint(
                condition=Q(jwks__isnull=False) ^ ~Q(jwks_url=""), name="events_keys_or_their_address"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ReceivedEvent(TenantModel):
    """A security event token that was accepted, once, and what it did."""

    class State(models.TextChoices):
        APPLIED = "applied", _("applied")
        NOBODY = "nobody", _("about nobody here")
        IGNORED = "ignored", _("nothing to do")

    transmitter = models.ForeignKey(
        Transmitter, on_delete=models.PROTECT, related_name="events", verbose_name=_("transmitter")
    )
    jti = models.CharField(_("number"), max_length=255)
    digest = models.CharField(_("digest"), max_length=64, help_text=_("SHA-256 of the token."))
    types = models.JSONField(_("what happened"), default=list)
    subject = models.CharField(_("about"), max_length=300, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("person"),
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    issued_at = models.DateTimeField(_("issued"))
    received_at = models.DateTimeField(_("received"), auto_now_add=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices)
    effects = models.JSONField(_("what it did"), default=list, blank=True)

    class Meta:
        verbose_name = _("security event")
        verbose_name_plural = _("security events")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["transmitter", "jti"], name="events_each_number_once"),
        ]
        indexes = [models.Index(fields=["tenant", "-received_at"], name="events_of_tenant")]

    def __str__(self) -> str:
        return f"{self.transmitter}: {self.jti}"

    @property
    def short_types(self) -> list[str]:
        """The event types without their address."""
        return [str(kind).rpartition("/")[2] for kind in self.types]
