"""The audit log: append-only, one hash chain per tenant."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.tenants.models import TenantModel


class AuditEntry(TenantModel):
    """Who did (or was refused) what, on what, when and why. Never updated, never deleted: a trigger sees to it."""

    class Decision(models.TextChoices):
        ALLOW = "allow", _("allowed")
        DENY = "deny", _("refused")

    sequence = models.BigIntegerField(
        _("number"), help_text=_("Position in the tenant's chain, from 1 without gaps.")
    )
    at = models.DateTimeField(_("time"))
    actor_kind = models.CharField(_("kind of actor"), max_length=12)
    actor_id = models.CharField(_("actor id"), max_length=64, blank=True)
    actor_label = models.CharField(_("actor"), max_length=200)
    action = models.CharField(_("action"), max_length=100)
    target_type = models.CharField(_("kind of object"), max_length=100, blank=True)
    target_id = models.CharField(_("object id"), max_length=100, blank=True)
    target_label = models.CharField(_("object"), max_length=200, blank=True)
    target_digest = models.CharField(_("digest"), max_length=64, blank=True)
    decision = models.CharField(_("decision"), max_length=5, choices=Decision.choices)
    reason = models.TextField(_("reason"), blank=True)
    request_id = models.CharField(_("request id"), max_length=64, blank=True)
    details = models.JSONField(_("details"), default=dict, blank=True)
    previous_hash = models.CharField(_("previous hash"), max_length=64)
    entry_hash = models.CharField(
        _("hash"),
        max_length=64,
        help_text=_("SHA-256 over the previous hash and this entry; see docs/governance.md."),
    )

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")
        ordering = ["-at", "-sequence"]
        constraints = [models.UniqueConstraint(fields=["tenant", "sequence"], name="audit_sequence_once")]
        indexes = [
            models.Index(fields=["tenant", "-at"], name="audit_tenant_at"),
            models.Index(fields=["target_type", "target_id"], name="audit_target"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action}"


class AuditHead(TenantModel):
    """The end of a tenant's chain; its row lock puts writers of one tenant in order."""

    sequence = models.BigIntegerField(default=0)
    entry_hash = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = _("end of an audit chain")
        verbose_name_plural = _("ends of audit chains")
        constraints = [models.UniqueConstraint(fields=["tenant"], name="audit_one_head_per_tenant")]
