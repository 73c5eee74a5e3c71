"""Approvals with their evidence, what they are bound to, and incidents.

An approval says: somebody accountable looked at a use with high risk and decided, about exactly these bytes.
"""

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

    class RiskClass(models.TextChoices):
        MINIMAL = "minimal", _("minimal risk")
        LIMITED = "limited", _("limited risk")
        HIGH = "high", _("high risk")
        PROHIBITED = "prohibited", _("prohibited")

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
    risk_class = models.CharField(
        _("class of risk"), max_length=12, choices=RiskClass.choices, default=RiskClass.HIGH
    )
    risk_because = models.JSONField(
        _("why this class"), default=list, blank=True, help_text=_("Rules of the questionnaire that applied.")
    )
    conditions = models.JSONField(
        _("conditions"), default=list, blank=True, help_text=_("Enforced at every use of what is approved.")
    )
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
    reminded_at = models.DateTimeField(_("reminded"), null=True, blank=True)
    renews = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="+", verbose_name=_("renews")
    )

    class Meta:
        verbose_name = _("ethics approval")
        verbose_name_plural = _("ethics approvals")
        ordering = ["requested_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["subject_type", "subject_id", "subject_digest", "state"],
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


class Evidence(TenantModel):
    """A document that supports an approval. Rows are only added; the newest of a kind counts."""

    class Kind(models.TextChoices):
        MODEL_CARD = "model_card", _("model card")
        EVALUATION = "evaluation", _("evaluation per group")
        OVERSIGHT_PLAN = "oversight_plan", _("oversight plan")

    approval = models.ForeignKey(
        Approval, on_delete=models.PROTECT, related_name="evidence", verbose_name=_("approval")
    )
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    digest = models.CharField(_("digest"), max_length=64, help_text=_("SHA-256 of the document."))
    document = models.TextField(_("document"))
    summary = models.JSONField(_("summary"), default=dict)
    supplied_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("supplied by"),
    )
    supplied_at = models.DateTimeField(_("supplied"), auto_now_add=True)

    class Meta:
        verbose_name = _("evidence")
        verbose_name_plural = _("evidence")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["approval", "kind", "digest"], name="ethics_evidence_once")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.digest[:12]}"


class Binding(TenantModel):
    """An object of a tenant that needs an approval of what it was made from, and how that approval stands.

    The approval belongs to whoever asked for it, the binding to the tenant that uses the object: the terms are copied
    here whenever the approval changes, so that a decision reads one row of its own tenant.
    """

    subject_type = models.CharField(_("kind of subject"), max_length=100)
    subject_id = models.CharField(_("subject id"), max_length=100)
    subject_digest = models.CharField(_("digest"), max_length=64)
    object_type = models.CharField(_("kind of object"), max_length=100)
    object_id = models.CharField(_("object id"), max_length=100)
    object_label = models.CharField(_("object"), max_length=200, blank=True)
    in_force = models.BooleanField(_("approved"), default=False)
    valid_until = models.DateTimeField(_("approved until"), null=True, blank=True)
    conditions = models.JSONField(_("conditions"), default=list, blank=True)
    approval_id = models.UUIDField(_("approval"), null=True, blank=True)
    created_at = models.DateTimeField(_("bound"), auto_now_add=True)

    class Meta:
        verbose_name = _("use of an approval")
        verbose_name_plural = _("uses of approvals")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "object_type", "object_id"], name="ethics_one_binding")
        ]
        indexes = [models.Index(fields=["subject_type", "subject_id"], name="ethics_binding_subject")]

    def __str__(self) -> str:
        return self.object_label or self.object_id


class Incident(TenantModel):
    """Something that went wrong with an AI system, from its discovery to the corrective action.

    `serious` follows Articles 3(49) and 73 of the AI Act; it sets the deadline of the report to the authority.
    """

    class State(models.TextChoices):
        OPEN = "open", _("open")
        INVESTIGATING = "investigating", _("being investigated")
        REPORTED = "reported", _("reported")
        CLOSED = "closed", _("closed")

    class Severity(models.TextChoices):
        LOW = "low", _("low")
        MEDIUM = "medium", _("medium")
        HIGH = "high", _("high")
        CRITICAL = "critical", _("critical")

    class Serious(models.TextChoices):
        NO = "no", _("not serious in the sense of Article 73")
        SERIOUS = "serious", _("serious: report within 15 days")
        DEATH = "death", _("death of a person: report within 10 days")
        WIDESPREAD = "widespread", _("widespread, or critical infrastructure: report within 2 days")

    subject_type = models.CharField(_("kind of subject"), max_length=100)
    subject_id = models.CharField(_("subject id"), max_length=100)
    subject_digest = models.CharField(_("digest"), max_length=64, blank=True)
    subject_label = models.CharField(_("subject"), max_length=200, blank=True)
    title = models.CharField(_("title"), max_length=200)
    description = models.TextField(_("what happened"))
    severity = models.CharField(_("severity"), max_length=8, choices=Severity.choices)
    serious = models.CharField(_("Article 73"), max_length=10, choices=Serious.choices, default=Serious.NO)
    state = models.CharField(_("state"), max_length=14, choices=State.choices, default=State.OPEN)
    occurred_at = models.DateTimeField(_("happened"))
    aware_at = models.DateTimeField(
        _("known since"), help_text=_("The deadline of a report counts from here.")
    )
    report_due_at = models.DateTimeField(_("report due"), null=True, blank=True)
    reported_to = models.CharField(_("reported to"), max_length=200, blank=True)
    reported_at = models.DateTimeField(_("reported"), null=True, blank=True)
    corrective_action = models.TextField(_("corrective action"), blank=True)
    opened_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", verbose_name=_("opened by")
    )
    created_at = models.DateTimeField(_("entered"), auto_now_add=True)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(serious="no") ^ Q(report_due_at__isnull=False), name="ethics_serious_has_deadline"
            ),
            models.CheckConstraint(
                condition=~Q(state="closed") | Q(serious="no") | Q(reported_at__isnull=False),
                name="ethics_serious_is_reported",
            ),
        ]
        indexes = [
            models.Index(fields=["subject_type", "subject_id"], name="ethics_incident_subject"),
            models.Index(fields=["tenant", "state"], name="ethics_incident_state"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def subject(self) -> ObjectRef:
        """What it is about."""
        return ObjectRef(
            type=self.subject_type, id=self.subject_id, digest=self.subject_digest, label=self.subject_label
        )
