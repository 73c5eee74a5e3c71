"""Administrators' policies in versions, and what was decided while they were in force."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from governance.tenants.models import TenantModel


class PolicySet(TenantModel):
    """A tenant's policies as a whole; the platform tenant's apply to every tenant. Its row lock orders all changes."""

    last_number = models.PositiveIntegerField(_("last number"), default=0)

    class Meta:
        verbose_name = _("policy set")
        verbose_name_plural = _("policy sets")
        constraints = [models.UniqueConstraint(fields=["tenant"], name="policies_one_set_per_tenant")]


class PolicyVersion(TenantModel):
    """One text of a tenant's policies, in Cedar's language. At most one is active."""

    class State(models.TextChoices):
        DRAFT = "draft", _("draft")
        PROPOSED = "proposed", _("waiting for a second person")
        ACTIVE = "active", _("in force")
        RETIRED = "retired", _("replaced")
        WITHDRAWN = "withdrawn", _("withdrawn")

    policy_set = models.ForeignKey(
        PolicySet, on_delete=models.PROTECT, related_name="versions", verbose_name=_("policy set")
    )
    number = models.PositiveIntegerField(_("number"))
    text = models.TextField(_("policies"), blank=True)
    digest = models.CharField(_("digest"), max_length=64, help_text=_("SHA-256 of the text."))
    note = models.CharField(
        _("note"),
        max_length=1000,
        blank=True,
        help_text=_("What this version changes and why, for who activates it."),
    )
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.DRAFT)
    replaces = models.PositiveIntegerField(
        _("replaces"),
        null=True,
        blank=True,
        help_text=_("The version that was in force when this one was proposed; 0 for none."),
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", verbose_name=_("author")
    )
    activated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("activated by"),
        help_text=_("Never the author; the database refuses that."),
    )
    reason = models.CharField(_("reason"), max_length=1000, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    proposed_at = models.DateTimeField(_("proposed"), null=True, blank=True)
    activated_at = models.DateTimeField(_("activated"), null=True, blank=True)
    ended_at = models.DateTimeField(
        _("ended"), null=True, blank=True, help_text=_("When it was replaced or withdrawn.")
    )

    class Meta:
        verbose_name = _("version of policies")
        verbose_name_plural = _("versions of policies")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "number"], name="policies_number_once"),
            models.UniqueConstraint(
                fields=["tenant"], condition=Q(state="active"), name="policies_one_active_version"
            ),
            models.CheckConstraint(
                condition=Q(activated_by__isnull=True) | ~Q(activated_by=F("author")),
                name="policies_author_does_not_activate",
            ),
            models.CheckConstraint(
                condition=~Q(state="active") | Q(activated_by__isnull=False),
                name="policies_active_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return str(_("Version %(number)s") % {"number": self.number})


class DecisionRecord(TenantModel):
    """Equal decisions of one hour, counted. Holds the question as the policies saw it, never what was worked on."""

    key = models.CharField(_("key"), max_length=64)
    bucket = models.DateTimeField(_("hour"))
    principal_kind = models.CharField(_("kind of principal"), max_length=12)
    principal_id = models.CharField(_("principal id"), max_length=64)
    principal_label = models.CharField(_("principal"), max_length=200)
    account_id = models.UUIDField(
        _("accountable person"), null=True, blank=True, help_text=_("The person behind a program.")
    )
    action = models.CharField(_("action"), max_length=100)
    target_type = models.CharField(_("kind of object"), max_length=100, blank=True)
    target_id = models.CharField(_("object id"), max_length=100, blank=True)
    target_label = models.CharField(_("object"), max_length=200, blank=True)
    allow = models.BooleanField(_("allowed"))
    enforced = models.BooleanField(
        _("obeyed"), default=True, help_text=_("Not set where the answer only said what a page shows.")
    )
    rules = models.JSONField(_("rules"), default=list)
    reasons = models.JSONField(_("reasons"), default=list)
    helps = models.JSONField(_("what helps"), default=list)
    policy_version = models.CharField(_("policy version"), max_length=40)
    request = models.JSONField(
        _("request"),
        default=dict,
        blank=True,
        help_text=_("The question to the policies; empty where they were not asked."),
    )
    count = models.PositiveBigIntegerField(_("count"))
    first_at = models.DateTimeField(_("first"))
    last_at = models.DateTimeField(_("last"))

    class Meta:
        verbose_name = _("recorded decision")
        verbose_name_plural = _("recorded decisions")
        ordering = ["-last_at"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "key", "bucket"], name="policies_decision_once_an_hour")
        ]
        indexes = [
            models.Index(fields=["tenant", "-last_at"], name="policies_decided_at"),
            models.Index(fields=["tenant", "-last_at"], condition=Q(allow=False), name="policies_refused_at"),
            models.Index(fields=["last_at"], name="policies_retention"),
        ]

    def __str__(self) -> str:
        return f"{self.principal_label} · {self.action}"
