"""The audit log: append-only, one hash chain per tenant; signed heads, verifications, retention, legal holds."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from governance.tenants.models import TenantModel

# The AI Act (Regulation (EU) 2024/1689, Art. 19 and 26(6)) asks for logs of at least six months.
SHORTEST_RETENTION_DAYS = 180


class AuditEntry(TenantModel):
    """Who did (or was refused) what, on what, when and why. Never updated; deleted by retention alone.

    The table is partitioned by month of `at`, with the primary key (id, at); `id` alone is unique as well, because it
    is a UUID. `sequence` is the order of the chain; `at` follows it as far as the machines' clocks do.
    """

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
        indexes = [
            models.Index(fields=["tenant", "-at", "-sequence"], name="audit_tenant_at"),
            models.Index(fields=["-at", "-sequence"], name="audit_at"),
            models.Index(fields=["target_type", "target_id"], name="audit_target"),
            models.Index(fields=["actor_id", "-at"], name="audit_actor"),
            models.Index(
                fields=["action", "-at"],
                name="audit_action",
                opclasses=["varchar_pattern_ops", "timestamptz_ops"],
            ),
            models.Index(fields=["request_id"], name="audit_request", condition=~Q(request_id="")),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action}"


class AuditHead(TenantModel):
    """The end of a tenant's chain; its row lock puts writers of one tenant in order."""

    sequence = models.BigIntegerField(default=0)
    entry_hash = models.CharField(max_length=64, blank=True)
    at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("end of an audit chain")
        verbose_name_plural = _("ends of audit chains")
        constraints = [models.UniqueConstraint(fields=["tenant"], name="audit_one_head_per_tenant")]


class Signed(TenantModel):
    """A statement about a chain, signed with the tenant's key; triggers keep it from being changed."""

    at = models.DateTimeField(_("signed"))
    key_name = models.CharField(_("key"), max_length=100)
    key_id = models.CharField(_("key id"), max_length=64)
    algorithm = models.CharField(_("algorithm"), max_length=40)
    signature = models.TextField(_("signature"))

    class Meta:
        abstract = True


class SignedHead(Signed):
    """Where a chain ended at a time: what a chain that was rewritten as a whole no longer fits."""

    sequence = models.BigIntegerField(_("number"))
    entry_hash = models.CharField(_("hash"), max_length=64)

    class Meta:
        verbose_name = _("signed head")
        verbose_name_plural = _("signed heads")
        ordering = ["-sequence"]
        constraints = [models.UniqueConstraint(fields=["tenant", "sequence"], name="audit_signed_head_once")]

    def __str__(self) -> str:
        return f"{self.sequence} {self.entry_hash[:12]}"


class ChainCut(Signed):
    """What retention removed from the beginning of a chain, and the hash from which verification goes on."""

    through = models.BigIntegerField(_("last removed number"))
    last_hash = models.CharField(_("hash of the last removed entry"), max_length=64)
    removed = models.BigIntegerField(_("removed entries"))
    first_at = models.DateTimeField(_("from"))
    last_at = models.DateTimeField(_("to"))
    actor_id = models.CharField(_("actor id"), max_length=64, blank=True)
    actor_label = models.CharField(_("actor"), max_length=200)

    class Meta:
        verbose_name = _("cut of an audit chain")
        verbose_name_plural = _("cuts of audit chains")
        ordering = ["-through"]
        constraints = [models.UniqueConstraint(fields=["tenant", "through"], name="audit_cut_once")]

    def __str__(self) -> str:
        return f"{self.through}"


class ChainVerification(TenantModel):
    """One recomputation of a tenant's chain, and what it found."""

    class State(models.TextChoices):
        QUEUED = "queued", _("waiting")
        RUNNING = "running", _("running")
        HOLDS = "holds", _("holds")
        BROKEN = "broken", _("broken")
        FAILED = "failed", _("could not finish")

    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.QUEUED)
    asked_by_label = models.CharField(_("asked by"), max_length=200)
    asked_at = models.DateTimeField(_("asked"), auto_now_add=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    checked = models.BigIntegerField(_("entries checked"), default=0)
    total = models.BigIntegerField(_("entries to check"), default=0)
    signed_through = models.BigIntegerField(_("signed up to number"), default=0)
    cut_through = models.BigIntegerField(_("removed up to number"), default=0)
    problems = models.JSONField(_("problems"), default=list, blank=True)
    more_problems = models.BigIntegerField(_("further problems"), default=0)

    class Meta:
        verbose_name = _("verification of a chain")
        verbose_name_plural = _("verifications of chains")
        ordering = ["-id"]
        indexes = [models.Index(fields=["tenant", "-id"], name="audit_verification_tenant")]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"],
                condition=Q(state__in=["queued", "running"]),
                name="audit_one_verification_at_a_time",
            )
        ]

    @property
    def percent(self) -> int:
        """Progress in percent of the entries that there were at the start."""
        return min(100, self.checked * 100 // self.total) if self.total else 0


class RetentionPolicy(TenantModel):
    """How long a tenant keeps its entries. Without one, they are kept for ever."""

    days = models.PositiveIntegerField(
        _("days"),
        validators=[MinValueValidator(SHORTEST_RETENTION_DAYS)],
        help_text=_("At least 180: the AI Act asks for logs of six months."),
    )
    changed_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("retention of the audit log")
        verbose_name_plural = _("retentions of audit logs")
        constraints = [
            models.UniqueConstraint(fields=["tenant"], name="audit_one_retention_per_tenant"),
            models.CheckConstraint(condition=Q(days__gte=SHORTEST_RETENTION_DAYS), name="audit_six_months"),
        ]


class LegalHold(TenantModel):
    """Entries that must not be removed while it lasts, whatever the retention says. Somebody else releases it."""

    reason = models.TextField(_("reason"))
    from_at = models.DateTimeField(_("from"), null=True, blank=True)
    to_at = models.DateTimeField(_("to"), null=True, blank=True)
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", verbose_name=_("set by")
    )
    set_at = models.DateTimeField(_("set"), auto_now_add=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("released by"),
    )
    released_at = models.DateTimeField(_("released"), null=True, blank=True)
    release_reason = models.TextField(_("reason of the release"), blank=True)

    class Meta:
        verbose_name = _("legal hold")
        verbose_name_plural = _("legal holds")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(released_by=None) | ~Q(released_by=F("set_by")), name="audit_hold_two_people"
            ),
            models.CheckConstraint(
                condition=Q(from_at=None) | Q(to_at=None) | Q(from_at__lt=F("to_at")), name="audit_hold_range"
            ),
        ]

    def __str__(self) -> str:
        return self.reason[:80]
