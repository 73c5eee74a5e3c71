"""Partners, their applications to become one, plugins and plugin versions."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from governance.tenants.models import TenantModel
from marketplace.catalog.quarantine import UploadedArchive

SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*$"


class Partner(TenantModel):
    """The public face of a partner tenant. A listed one (it has published something) is readable by every tenant."""

    slug = models.CharField(_("short name"), max_length=63, unique=True, validators=[RegexValidator(SLUG)])
    display_name = models.CharField(_("name"), max_length=200)
    website = models.URLField(_("web site"), max_length=400, blank=True)
    contact_email = models.EmailField(_("contact"), blank=True)
    verified = models.BooleanField(
        _("verified"), default=False, help_text=_("The platform has checked who this partner is.")
    )
    listed = models.BooleanField(_("listed"), default=False, help_text=_("Has published a version."))
    created_at = models.DateTimeField(_("partner since"), auto_now_add=True)

    class Meta:
        verbose_name = _("partner")
        verbose_name_plural = _("partners")
        ordering = ["display_name"]
        constraints = [models.UniqueConstraint(fields=["tenant"], name="catalog_one_profile_per_partner")]

    def __str__(self) -> str:
        return self.display_name


class PartnerApplication(TenantModel):
    """A person's wish to become a partner. It belongs to the platform's tenant, which decides."""

    class State(models.TextChoices):
        APPLIED = "applied", _("waiting for a decision")
        ACCEPTED = "accepted", _("accepted")
        REFUSED = "refused", _("refused")

    applicant = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", verbose_name=_("applicant")
    )
    slug = models.CharField(
        _("short name"),
        max_length=63,
        validators=[RegexValidator(SLUG)],
        help_text=_("Lower-case letters, digits and hyphens. It is part of every download's address."),
    )
    name = models.CharField(_("organisation"), max_length=200)
    website = models.URLField(_("web site"), max_length=400, blank=True)
    contact_email = models.EmailField(_("contact"), blank=True)
    about = models.TextField(_("what you want to publish"), max_length=4000, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.APPLIED)
    applied_at = models.DateTimeField(_("applied"), auto_now_add=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("decided by"),
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    partner = models.ForeignKey(
        Partner, null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("partner")
    )

    class Meta:
        verbose_name = _("partner application")
        verbose_name_plural = _("partner applications")
        ordering = ["applied_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["applicant"], condition=Q(state="applied"), name="catalog_one_open_application"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Plugin(TenantModel):
    """A named thing that a partner publishes versions of. The name is the partner's for good once reviewed."""

    partner = models.ForeignKey(
        Partner, on_delete=models.PROTECT, related_name="plugins", verbose_name=_("partner")
    )
    slug = models.CharField(_("name"), max_length=64, unique=True)
    description = models.TextField(_("description"), blank=True)
    listed = models.BooleanField(
        _("listed"), default=False, help_text=_("Has published a version, so every tenant may read of it.")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("plugin")
        verbose_name_plural = _("plugins")
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class PluginVersion(TenantModel):
    """One immutable archive. It is published only once every tenant can really download and verify it."""

    class State(models.TextChoices):
        SUBMITTED = "submitted", _("in review")
        APPROVED = "approved", _("approved, being published")
        PUBLISHED = "published", _("published")
        BLOCKED = "blocked", _("blocked")
        REJECTED = "rejected", _("rejected")
        WITHDRAWN = "withdrawn", _("withdrawn")

    class Risk(models.TextChoices):
        LOW = "low", _("low")
        MEDIUM = "medium", _("medium")
        HIGH = "high", _("high")

    plugin = models.ForeignKey(
        Plugin, on_delete=models.PROTECT, related_name="versions", verbose_name=_("plugin")
    )
    version = models.CharField(_("version"), max_length=64)
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.SUBMITTED)
    sha256 = models.CharField(_("digest"), max_length=64, help_text=_("SHA-256 of the archive."))
    size_bytes = models.BigIntegerField(_("size in bytes"))
    manifest = models.JSONField(_("manifest"))
    permissions = models.JSONField(
        _("asks for"), default=list, blank=True, help_text=_("Every right it asks for, such as network:host.")
    )
    risk_level = models.CharField(_("risk"), max_length=6, choices=Risk.choices)
    risk_reasons = models.JSONField(_("why this risk"), default=list, blank=True)
    purpose = models.CharField(_("purpose"), max_length=100)
    submission_id = models.UUIDField(_("submission"), help_text=_("The review that it came through."))
    approvals = models.PositiveSmallIntegerField(_("reviewers who approved"), default=0)
    archive_path = models.CharField(
        _("archive"), max_length=300, help_text=_("Its name in quarantine, where it lies sealed.")
    )
    target_path = models.CharField(
        _("target"), max_length=300, blank=True, help_text=_("Its name in the signed repository.")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    published_at = models.DateTimeField(_("published"), null=True, blank=True)
    blocked_at = models.DateTimeField(_("blocked"), null=True, blank=True)
    blocked_reason = models.TextField(_("why it is blocked"), blank=True)

    class Meta:
        verbose_name = _("plugin version")
        verbose_name_plural = _("plugin versions")
        ordering = ["plugin__slug", "-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["plugin", "version"],
                condition=~Q(state__in=["rejected", "withdrawn"]),
                name="catalog_version_once",
            ),
            models.UniqueConstraint(fields=["submission_id"], name="catalog_one_version_per_submission"),
        ]
        indexes = [models.Index(fields=["state", "-published_at"], name="catalog_version_state")]

    def __str__(self) -> str:
        return f"{self.plugin.slug} {self.version}"

    @property
    def archive(self) -> UploadedArchive:
        """The archive in quarantine."""
        return UploadedArchive(self.tenant_id, self.archive_path, self.sha256)

    @property
    def extension(self) -> dict[str, object]:
        """Our part of the manifest: models, skills, permissions."""
        found: dict[str, object] = self.manifest.get("extensions", {}).get("dev.openclaw", {})
        return found
