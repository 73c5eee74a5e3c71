"""Rights that are watched: how often each is used, who had more for an hour, what is proposed for removal."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from governance.principals import Role
from governance.tenants.models import TenantModel


class RightKind(models.TextChoices):
    """A right is a role of a membership or a permission on one object."""

    ROLE = "role", _("role")
    GRANT = "grant", _("grant")


class RightUse(TenantModel):
    """How often one account used one right. A right that was seen but never used has a count of 0."""

    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("account")
    )
    kind = models.CharField(_("kind"), max_length=5, choices=RightKind.choices)
    name = models.CharField(_("right"), max_length=100, help_text=_("The role, or the permission."))
    object_id = models.CharField(_("object"), max_length=100, blank=True)
    count = models.BigIntegerField(_("uses"), default=0)
    first_seen_at = models.DateTimeField(_("watched since"))
    last_used_at = models.DateTimeField(_("last used"), null=True)

    class Meta:
        verbose_name = _("use of a right")
        verbose_name_plural = _("uses of rights")
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "account", "kind", "name", "object_id"], name="privilege_use_once"
            )
        ]


class PrivilegeSettings(TenantModel):
    """A tenant's own bounds. Without a row the defaults hold."""

    unused_after_days = models.PositiveSmallIntegerField(
        _("unused after (days)"),
        default=90,
        validators=[MinValueValidator(7), MaxValueValidator(730)],
        help_text=_("A right that nobody used for so long is proposed for removal."),
    )
    max_elevation_minutes = models.PositiveSmallIntegerField(
        _("longest elevation (minutes)"),
        default=240,
        validators=[MinValueValidator(5), MaxValueValidator(1440)],
    )
    break_glass_minutes = models.PositiveSmallIntegerField(
        _("break-glass access (minutes)"),
        default=60,
        validators=[MinValueValidator(5), MaxValueValidator(240)],
    )

    class Meta:
        verbose_name = _("bounds of rights")
        verbose_name_plural = _("bounds of rights")
        constraints = [models.UniqueConstraint(fields=["tenant"], name="privilege_one_settings_row")]


class RemovalProposal(TenantModel):
    """A right that nobody used for the tenant's time, waiting for an administrator."""

    class State(models.TextChoices):
        OPEN = "open", _("proposed")
        REMOVED = "removed", _("removed")
        KEPT = "kept", _("kept")
        STALE = "stale", _("no longer needed")

    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("account")
    )
    kind = models.CharField(_("kind"), max_length=5, choices=RightKind.choices)
    name = models.CharField(_("right"), max_length=100)
    object_id = models.CharField(_("object"), max_length=100, blank=True)
    object_label = models.CharField(_("object name"), max_length=200, blank=True)
    unused_since = models.DateTimeField(_("unused since"))
    proposed_at = models.DateTimeField(_("proposed"), auto_now_add=True)
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.OPEN)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    reason = models.TextField(_("reason"), blank=True)

    class Meta:
        verbose_name = _("proposed removal")
        verbose_name_plural = _("proposed removals")
        ordering = ["unused_since"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "account", "kind", "name", "object_id"],
                condition=Q(state="open"),
                name="privilege_one_open_proposal",
            )
        ]


class Elevation(TenantModel):
    """More rights for a while: asked for with a reason and approved by another, or taken by breaking the glass."""

    class State(models.TextChoices):
        REQUESTED = "requested", _("waiting for approval")
        ACTIVE = "active", _("active")
        ENDED = "ended", _("ended")
        REFUSED = "refused", _("refused")
        WITHDRAWN = "withdrawn", _("withdrawn")

    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", verbose_name=_("person")
    )
    role = models.CharField(
        _("role"),
        max_length=30,
        choices=[(role.value, role.value) for role in Role if role is not Role.SYSTEM],
    )
    reason = models.TextField(_("reason"))
    minutes = models.PositiveSmallIntegerField(_("minutes"))
    break_glass = models.BooleanField(
        _("break-glass"),
        default=False,
        help_text=_(
            "Taken without approval in an emergency: everybody is told, and somebody else must review it."
        ),
    )
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.REQUESTED)
    requested_at = models.DateTimeField(_("asked for"), auto_now_add=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("decided by"),
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    decision_reason = models.TextField(_("reason of the decision"), blank=True)
    starts_at = models.DateTimeField(_("began"), null=True, blank=True)
    ends_at = models.DateTimeField(_("ends"), null=True, blank=True)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("reviewed by"),
    )
    reviewed_at = models.DateTimeField(_("reviewed"), null=True, blank=True)
    review = models.TextField(_("review"), blank=True)

    class Meta:
        verbose_name = _("elevation")
        verbose_name_plural = _("elevations")
        ordering = ["-requested_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("person")),
                name="privilege_nobody_elevates_themselves",
            ),
            models.CheckConstraint(
                condition=Q(reviewed_by__isnull=True) | ~Q(reviewed_by=F("person")),
                name="privilege_nobody_reviews_themselves",
            ),
            models.UniqueConstraint(
                fields=["tenant", "person", "role"],
                condition=Q(state__in=["requested", "active"]),
                name="privilege_one_open_elevation",
            ),
        ]
        indexes = [models.Index(fields=["state", "ends_at"], name="privilege_elevation_ends")]

    def __str__(self) -> str:
        return f"{self.person} · {self.role}"


class BreakGlassHolder(TenantModel):
    """Who may break the glass here, named in advance, for which role."""

    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", verbose_name=_("person")
    )
    role = models.CharField(_("role"), max_length=30)
    named_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("named by"),
    )
    named_at = models.DateTimeField(_("named"), auto_now_add=True)

    class Meta:
        verbose_name = _("break-glass holder")
        verbose_name_plural = _("break-glass holders")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "person", "role"], name="privilege_holder_once"),
        ]
