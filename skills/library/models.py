"""Skills, their versions, and what each call came to."""

from __future__ import annotations

from pathlib import Path

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.refs import ObjectRef
from governance.tenants.models import TenantModel
from skills.library.bundles import bundle_path

NAME_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
VERSION_PATTERN = r"^[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}$"


class Skill(TenantModel):
    """A function that an assistant or a program of the tenant may call by name."""

    name = models.CharField(
        _("name"),
        max_length=64,
        validators=[RegexValidator(NAME_PATTERN)],
        help_text=_("Lower-case letters, digits and single hyphens."),
    )
    active_version = models.ForeignKey(
        "SkillVersion",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("active version"),
        help_text=_("Answers calls that name no version."),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("skill")
        verbose_name_plural = _("skills")
        ordering = ["name"]
        permissions = [("invoke_skill", "Can call the skill")]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="library_skill_name")]

    def __str__(self) -> str:
        return self.name


class SkillVersion(TenantModel):
    """One immutable bundle of a skill, with what it takes, gives, may use and may touch."""

    class State(models.TextChoices):
        READY = "ready", _("ready")
        HELD = "held", _("held back")
        RETIRED = "retired", _("retired")

    skill = models.ForeignKey(
        Skill, on_delete=models.PROTECT, related_name="versions", verbose_name=_("skill")
    )
    version = models.CharField(_("version"), max_length=64, validators=[RegexValidator(VERSION_PATTERN)])
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.READY)
    entrypoint = models.CharField(
        _("entry point"), max_length=300, help_text=_("path/file.py:function inside the bundle.")
    )
    input_schema = models.JSONField(_("input schema"), help_text=_("JSON Schema 2020-12."))
    output_schema = models.JSONField(_("output schema"))
    timeout_s = models.FloatField(_("time limit in seconds"))
    memory_mb = models.PositiveIntegerField(_("memory limit in MiB"))
    permissions = models.JSONField(
        _("permissions"), default=dict, blank=True, help_text=_("What it asked for and was granted.")
    )
    sha256 = models.CharField(
        _("digest"), max_length=64, help_text=_("SHA-256 over the names and contents of the bundle's files.")
    )
    source_type = models.CharField(_("kind of source"), max_length=100, blank=True)
    source_id = models.CharField(_("source id"), max_length=100, blank=True)
    source_digest = models.CharField(_("source digest"), max_length=64, blank=True)
    source_label = models.CharField(_("source"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("registered"), auto_now_add=True)

    class Meta:
        verbose_name = _("skill version")
        verbose_name_plural = _("skill versions")
        ordering = ["skill__name", "-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["skill", "version"], name="library_version_once"),
            models.CheckConstraint(
                condition=models.Q(timeout_s__gt=0) & models.Q(memory_mb__gt=0), name="library_version_limits"
            ),
        ]
        indexes = [models.Index(fields=["source_type", "source_id"], name="library_version_source")]

    def __str__(self) -> str:
        return f"{self.skill.name} {self.version}"

    @property
    def bundle(self) -> Path:
        """Where the bundle lies; never made from what a user wrote."""
        return bundle_path(self.sha256)

    @property
    def source(self) -> ObjectRef:
        """What the version was made from, for example a published plugin version."""
        return ObjectRef(
            type=self.source_type, id=self.source_id, digest=self.source_digest, label=self.source_label
        )


class SkillCall(TenantModel):
    """What one call of a skill came to. Neither input nor output is kept."""

    class Status(models.TextChoices):
        OK = "ok", _("answered")
        INVALID_INPUT = "invalid-input", _("invalid input")
        INVALID_OUTPUT = "invalid-output", _("invalid output")
        ERROR = "error", _("error in the skill")
        TIMEOUT = "timeout", _("time limit")
        MEMORY = "memory", _("memory limit")
        KILLED = "killed", _("killed")
        UNAVAILABLE = "unavailable", _("no sandbox")

    skill_version = models.ForeignKey(
        SkillVersion, on_delete=models.PROTECT, related_name="calls", verbose_name=_("skill version")
    )
    at = models.DateTimeField(_("time"), auto_now_add=True)
    status = models.CharField(_("status"), max_length=16, choices=Status.choices)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    wall_s = models.FloatField(_("seconds"))
    max_rss_bytes = models.BigIntegerField(_("memory in bytes"), default=0)
    sha256 = models.CharField(_("digest of what ran"), max_length=64)
    principal_kind = models.CharField(_("kind of caller"), max_length=12)
    principal_id = models.CharField(_("caller id"), max_length=64, blank=True)
    principal_label = models.CharField(_("caller"), max_length=200)
    request_id = models.CharField(_("request id"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("skill call")
        verbose_name_plural = _("skill calls")
        ordering = ["-id"]
        indexes = [models.Index(fields=["tenant", "-at"], name="library_call_at")]

    def __str__(self) -> str:
        return f"{self.skill_version} {self.status}"
