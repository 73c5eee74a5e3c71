"""Approvals: somebody accountable looked at a use with high risk and decided, about exactly these bytes."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from governance.refs import ObjectRef
from governance.tenants.models import TenantModel


class Approval(TenantModel):
    """A request to allow a subject for a purpose, bound to the subject's digest: other bytes need another approval."""

    class State(models.TextChoices):
        REQUESTED = "requested", _("waiting for a decision")
        APPROVED = "approved", _("approved")
        REFUSED = "refused", _("refused")
        VOID = "void", _("void")
        EXPIRED = "expired", _("expired")

    subject_type = models.CharField(_("kind of subject"), max_length=100)
    subject_id = models.CharField(_("subject id"), max_length=100)
    subject_digest = models.CharField(
        _("digest"),
        max_length=64,
        help_text=_("SHA-256 of what was looked at; a changed digest voids the approval."),
    )
    subject_label = models.CharField(_("subject"), max_length=200, blank=True)
    purpose = models.CharField(_("purpose"), max_length=100)
    questionnaire_version = models.CharField(_("questionnaire"), max_length=40)
    questionnaire = models.JSONField(_("answers"), default=dict)
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.REQUESTED)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", verbose_name=_("requested by")
    )
    requested_at = models.DateTimeField(_("requested"), auto_now_add=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("decided by"),
        help_text=_("Never the person who requested it; the database refuses that."),
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)

    class Meta:
        verbose_name = _("ethics approval")
        verbose_name_plural = _("ethics approvals")
        ordering = ["requested_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["subject_type", "subject_id", "subject_digest"],
                condition=Q(state__in=["requested", "approved"]),
                name="ethics_one_open_approval",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("requested_by")),
                name="ethics_requester_does_not_decide",
            ),
        ]
        indexes = [models.Index(fields=["state", "requested_at"], name="ethics_queue")]

    def __str__(self) -> str:
        return f"{self.subject_label or self.subject_id} · {self.purpose}"

    @property
    def subject(self) -> ObjectRef:
        """What the approval is about."""
        return ObjectRef(
            type=self.subject_type, id=self.subject_id, digest=self.subject_digest, label=self.subject_label
        )
