"""Sessions of people, what a tenant demands of a sign-in, and the identity providers of companies."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from governance.principals import Role
from governance.tenants.models import TenantModel

SESSION_HOURS = (1, 24)
IDLE_MINUTES = (5, 240)
DEFAULT_SESSION_HOURS = 8
DEFAULT_IDLE_MINUTES = 30
# What people can be; a program's role is no person's.
PEOPLE_ROLES = [(r.value, r.value) for r in sorted(set(Role) - {Role.SYSTEM, Role.SERVICE})]
ROLE_CHOICES = [(r.value, r.value.replace("_", " ")) for r in Role if r is not Role.SYSTEM]


class IdentityPolicy(TenantModel):
    """What a tenant demands of the sign-ins of its people. A tenant without a row has the defaults."""

    second_factor_roles = models.JSONField(
        _("second factor needed by"),
        default=list,
        blank=True,
        help_text=_("Roles whose holders may do nothing before they have set up a second factor."),
    )
    session_hours = models.PositiveSmallIntegerField(
        _("longest session (hours)"),
        default=DEFAULT_SESSION_HOURS,
        validators=[MinValueValidator(SESSION_HOURS[0]), MaxValueValidator(SESSION_HOURS[1])],
    )
    idle_minutes = models.PositiveSmallIntegerField(
        _("automatic sign-out after (minutes without activity)"),
        default=DEFAULT_IDLE_MINUTES,
        validators=[MinValueValidator(IDLE_MINUTES[0]), MaxValueValidator(IDLE_MINUTES[1])],
        help_text=_("Automatic logoff, 45 CFR 164.312(a)(2)(iii)."),
    )
    changed_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("sign-in rules")
        verbose_name_plural = _("sign-in rules")
        constraints = [
            models.UniqueConstraint(fields=["tenant"], name="identity_one_policy_per_tenant"),
            models.CheckConstraint(
                condition=Q(session_hours__range=SESSION_HOURS), name="identity_policy_session_hours"
            ),
            models.CheckConstraint(
                condition=Q(idle_minutes__range=IDLE_MINUTES), name="identity_policy_idle_minutes"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant}: {self.session_hours} h, {self.idle_minutes} min"


class OpenSessions(models.Manager["UserSession"]):
    """Sessions that can be used now."""

    def get_queryset(self) -> models.QuerySet[UserSession]:
        return super().get_queryset().filter(ended_at=None, valid_until__gt=timezone.now())


class UserSession(TenantModel):
    """A person's signed-in browser. `tenant` is where it works at the moment; its administrators see it there."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("person")
    )
    key_digest = models.CharField(
        _("digest of the key"),
        max_length=64,
        unique=True,
        help_text=_("SHA-256; the key itself is not kept."),
    )
    factor = models.CharField(_("factor"), max_length=20)
    started_at = models.DateTimeField(_("started"))
    last_seen_at = models.DateTimeField(_("last seen"))
    valid_until = models.DateTimeField(_("ends by itself"))
    network = models.CharField(_("network"), max_length=64, blank=True)
    program = models.CharField(_("browser"), max_length=120, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    end_reason = models.CharField(_("reason"), max_length=200, blank=True)

    objects = models.Manager()
    open = OpenSessions()

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        ordering = ["-started_at"]
        indexes = [
            models.Index(fields=["user", "-started_at"], name="identity_session_of_user"),
            models.Index(fields=["tenant", "-last_seen_at"], name="identity_session_of_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.program or self.network}"


class IdentityProvider(TenantModel):
    """A company's own sign-in (OpenID Connect Core 1.0). It speaks for people of its tenant and nobody else."""

    name = models.CharField(_("name"), max_length=80)
    issuer = models.URLField(
        _("issuer"), max_length=500, help_text=_("Never changes: accounts are known by issuer and subject.")
    )
    discovery_url = models.URLField(_("discovery address"), max_length=500)
    client_id = models.CharField(_("client id"), max_length=200)
    sealed_secret = models.TextField(_("sealed client secret"), blank=True, editable=False)
    group_claim = models.CharField(_("claim with the groups"), max_length=100, default="groups")
    enabled = models.BooleanField(_("enabled"), default=True)
    internal_network = models.BooleanField(
        _("in the internal network"),
        default=False,
        help_text=_("Set by the platform's administrators: its addresses may be private ones."),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("identity provider")
        verbose_name_plural = _("identity providers")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "issuer", "client_id"], name="identity_provider_once_per_tenant"
            )
        ]

    def __str__(self) -> str:
        return self.name


class GroupMapping(TenantModel):
    """Who is in this group at the provider has this role here."""

    provider = models.ForeignKey(
        IdentityProvider, on_delete=models.CASCADE, related_name="mappings", verbose_name=_("provider")
    )
    value = models.CharField(_("group"), max_length=200)
    role = models.CharField(_("role"), max_length=30, choices=ROLE_CHOICES)

    class Meta:
        verbose_name = _("group with a role")
        verbose_name_plural = _("groups with roles")
        ordering = ["value", "role"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "value", "role"], name="identity_mapping_once")
        ]

    def __str__(self) -> str:
        return f"{self.value} → {self.role}"


class ProvidedRole(TenantModel):
    """A role that somebody has because the provider said so, and loses when it no longer does."""

    provider = models.ForeignKey(
        IdentityProvider, on_delete=models.CASCADE, related_name="+", verbose_name=_("provider")
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("person")
    )
    role = models.CharField(_("role"), max_length=30, choices=ROLE_CHOICES)

    class Meta:
        verbose_name = _("role given by a provider")
        verbose_name_plural = _("roles given by providers")
        constraints = [
            models.UniqueConstraint(fields=["provider", "user", "role"], name="identity_provided_role_once")
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.role}"
