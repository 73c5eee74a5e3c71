"""Tenants, people and their memberships; the abstract bases of every table in the product."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from governance.ids import uuid7
from governance.principals import Role


class UUIDModel(models.Model):
    """A table whose surrogate key is a time-ordered UUID (RFC 9562, version 7)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True


class Tenant(UUIDModel):
    """An isolation domain: the platform itself, a department or company that uses it, or a partner who publishes."""

    class Kind(models.TextChoices):
        PLATFORM = "platform", _("platform")
        ORGANISATION = "organisation", _("organisation")
        PARTNER = "partner", _("partner")

    slug = models.SlugField(_("short name"), max_length=63, unique=True)
    name = models.CharField(_("name"), max_length=200)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind.choices)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    suspended_at = models.DateTimeField(
        _("suspended"), null=True, blank=True, help_text=_("Nobody of a suspended tenant may do anything.")
    )

    class Meta:
        verbose_name = _("tenant")
        verbose_name_plural = _("tenants")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind"], condition=models.Q(kind="platform"), name="tenants_one_platform_tenant"
            )
        ]

    def __str__(self) -> str:
        return self.name


class User(AbstractUser):
    """A person, or the service account of an OAuth 2.0 client. Rights come from memberships and grants only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(_("e-mail address"), blank=True)
    language = models.CharField(_("language"), max_length=10, blank=True)
    is_service_account = models.BooleanField(
        _("service account"),
        default=False,
        help_text=_("Belongs to an OAuth 2.0 client; nobody can sign in with it."),
    )

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        ordering = ["username"]


class TenantModel(UUIDModel):
    """A table of tenant data. Its migration must add `TenantRowSecurity`; a test fails if it does not."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="+", verbose_name=_("tenant"))

    class Meta:
        abstract = True


class InForce(models.Manager["Membership"]):
    """Memberships that count now: an elevated role does until it ends."""

    def get_queryset(self) -> models.QuerySet[Membership]:
        return super().get_queryset().filter(models.Q(expires_at=None) | models.Q(expires_at__gt=Now()))


class Membership(TenantModel):
    """A person's role in a tenant."""

    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="memberships", verbose_name=_("user")
    )
    role = models.CharField(
        _("role"),
        max_length=30,
        choices=[(r.value, r.value.replace("_", " ")) for r in Role if r is not Role.SYSTEM],
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(
        _("ends"), null=True, blank=True, help_text=_("Set for an elevated role: it counts until then.")
    )

    objects = models.Manager()
    in_force = InForce()

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        ordering = ["tenant", "user"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user", "role"], name="tenants_membership_once"),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.role}"
