"""Submissions on their way through checks and people, with everything that happened to them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from governance.refs import ObjectRef
from governance.tenants.models import TenantModel
from marketplace.catalog.models import PluginVersion
from marketplace.catalog.quarantine import UploadedArchive

ENDED = ("checks_failed", "rejected", "withdrawn")


class Submission(TenantModel):
    """One uploaded archive of a partner, from its arrival in quarantine to its end."""

    class State(models.TextChoices):
        UPLOADED = "uploaded", _("uploaded")
        CHECKING = "checking", _("being checked")
        CHECKS_FAILED = "checks_failed", _("refused by a check")
        CHECK_ERROR = "check_error", _("a check could not finish")
        WAITING_FOR_REVIEW = "waiting_for_review", _("waiting for a reviewer")
        IN_REVIEW = "in_review", _("in review")
        WAITING_FOR_PUBLISHER = "waiting_for_publisher", _("waiting for the publisher")
        SECOND_REVIEW = "second_review", _("waiting for a second reviewer")
        WAITING_FOR_ETHICS = "waiting_for_ethics", _("waiting for the ethics office")
        APPROVED = "approved", _("approved")
        PUBLISHING = "publishing", _("being published")
        PUBLISHED = "published", _("published")
        REJECTED = "rejected", _("rejected")
        WITHDRAWN = "withdrawn", _("withdrawn")

    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("uploaded by"),
        help_text=_("The person accountable for the upload, also when a program sent it."),
    )
    filename = models.CharField(_("file name"), max_length=200)
    archive_path = models.CharField(
        _("archive"), max_length=300, help_text=_("Its name in quarantine, where it lies sealed.")
    )
    sha256 = models.CharField(_("digest"), max_length=64, help_text=_("SHA-256 of the archive."))
    size_bytes = models.BigIntegerField(_("size in bytes"))
    state = models.CharField(_("state"), max_length=24, choices=State.choices, default=State.UPLOADED)
    state_changed_at = models.DateTimeField(_("state since"), auto_now_add=True)
    created_at = models.DateTimeField(_("uploaded"), auto_now_add=True)
    plugin_name = models.CharField(_("plugin"), max_length=64, blank=True)
    plugin_version = models.CharField(_("version"), max_length=64, blank=True)
    purpose = models.CharField(_("purpose"), max_length=100, blank=True)
    risk_level = models.CharField(
        _("risk"), max_length=6, choices=PluginVersion.Risk.choices, blank=True, default=""
    )
    risk_reasons = models.JSONField(_("why this risk"), default=list, blank=True)
    needs_ethics = models.BooleanField(
        _("needs an ethics approval"), default=False, help_text=_("Its purpose is a high-risk one.")
    )
    version = models.OneToOneField(
        PluginVersion,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="submission",
        verbose_name=_("plugin version"),
    )
    due_at = models.DateTimeField(
        _("due"), null=True, blank=True, help_text=_("By when the review should be decided; working days.")
    )
    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("claimed by"),
    )
    claim_expires_at = models.DateTimeField(_("claimed until"), null=True, blank=True)

    class Meta:
        verbose_name = _("submission")
        verbose_name_plural = _("submissions")
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "sha256"],
                condition=~Q(state__in=ENDED),
                name="review_one_open_per_digest",
            ),
            models.UniqueConstraint(
                fields=["tenant", "plugin_name", "plugin_version"],
                condition=~Q(state__in=ENDED) & ~Q(plugin_name=""),
                name="review_one_open_per_version",
            ),
            # The target of the decisions' composite foreign key.
            models.UniqueConstraint(fields=["id", "uploaded_by"], name="review_submission_submitter"),
            models.CheckConstraint(
                condition=Q(claimed_by__isnull=True) | ~Q(claimed_by=F("uploaded_by")),
                name="review_nobody_claims_own",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "due_at"], name="review_queue"),
            models.Index(fields=["tenant", "-created_at"], name="review_by_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.plugin_name or self.filename} {self.plugin_version}".strip()

    @property
    def archive(self) -> UploadedArchive:
        """The archive in quarantine."""
        return UploadedArchive(self.tenant_id, self.archive_path, self.sha256)

    @property
    def ref(self) -> ObjectRef:
        """The submission with its exact content, for approvals and the audit log."""
        return ObjectRef.of(self, digest=self.sha256)

    @property
    def approvals_needed(self) -> int:
        """How many different reviewers must approve."""
        return 2 if self.risk_level == PluginVersion.Risk.HIGH else 1


class SubmissionEvent(TenantModel):
    """One line of a submission's timeline. A trigger refuses to change or delete it."""

    class Kind(models.TextChoices):
        STATE = "state", _("state")
        QUESTION = "question", _("question of the reviewer")
        ANSWER = "answer", _("answer of the publisher")
        CLAIM = "claim", _("claim")
        DECISION = "decision", _("decision")
        CHECK = "check", _("check")
        ETHICS = "ethics", _("ethics")
        NOTE = "note", _("note")

    submission = models.ForeignKey(
        Submission, on_delete=models.PROTECT, related_name="events", verbose_name=_("submission")
    )
    at = models.DateTimeField(_("time"), auto_now_add=True)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    actor_kind = models.CharField(_("kind of actor"), max_length=12)
    actor_id = models.CharField(_("actor id"), max_length=64, blank=True)
    actor_label = models.CharField(_("actor"), max_length=200)
    actor_side = models.CharField(
        _("side"), max_length=12, help_text=_("publisher, reviewer, ethics or platform")
    )
    from_state = models.CharField(_("from"), max_length=24, blank=True)
    to_state = models.CharField(_("to"), max_length=24, blank=True)
    code = models.CharField(_("code"), max_length=40, blank=True)
    params = models.JSONField(_("parameters"), default=dict, blank=True)
    message = models.TextField(_("message"), blank=True, help_text=_("What a person wrote."))
    publisher_visible = models.BooleanField(_("publisher sees it"), default=True)

    class Meta:
        verbose_name = _("submission event")
        verbose_name_plural = _("submission events")
        ordering = ["id"]
        indexes = [models.Index(fields=["submission", "id"], name="review_timeline")]

    def __str__(self) -> str:
        return f"{self.kind} {self.to_state}".strip()


class CheckSetting(TenantModel):
    """The three switches of a check, where an administrator has moved them; rows of the platform's tenant."""

    name = models.CharField(_("check"), max_length=60, unique=True)
    enabled = models.BooleanField(_("enabled"), default=True, help_text=_("It runs."))
    enforced = models.BooleanField(
        _("enforced"), default=True, help_text=_("A refusal ends the submission; else it is only shown.")
    )
    required = models.BooleanField(
        _("required"),
        default=True,
        help_text=_("There is no review before it has finished without an error."),
    )
    changed_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("check setting")
        verbose_name_plural = _("check settings")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class CheckRun(TenantModel):
    """One check of one submission. The row is the truth; the Celery message only carries it."""

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        DONE = "done", _("done")

    class Status(models.TextChoices):
        PASSED = "PASSED", _("passed")
        FLAGGED = "FLAGGED", _("flagged")
        REJECTED = "REJECTED", _("refused")
        ERROR = "ERROR", _("error")

    submission = models.ForeignKey(
        Submission, on_delete=models.PROTECT, related_name="check_runs", verbose_name=_("submission")
    )
    name = models.CharField(_("check"), max_length=60)
    position = models.PositiveSmallIntegerField(_("position"))
    check_version = models.CharField(_("version of the check"), max_length=20, blank=True)
    enforced = models.BooleanField(_("enforced"), default=True)
    required = models.BooleanField(_("required"), default=True)
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.QUEUED)
    status = models.CharField(_("outcome"), max_length=8, choices=Status.choices, blank=True, default="")
    message = models.TextField(_("message"), blank=True, help_text=_("For the publisher; a template."))
    params = models.JSONField(_("parameters"), default=dict, blank=True)
    measures = models.JSONField(_("measured"), default=dict, blank=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    queued_at = models.DateTimeField(_("queued"), auto_now_add=True)
    lease_until = models.DateTimeField(
        _("lease"), null=True, blank=True, help_text=_("After it the run is taken for lost and sent again.")
    )
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        verbose_name = _("check run")
        verbose_name_plural = _("check runs")
        ordering = ["submission", "position"]
        constraints = [models.UniqueConstraint(fields=["submission", "name"], name="review_check_once")]
        indexes = [models.Index(fields=["state", "lease_until"], name="review_stalled")]

    def __str__(self) -> str:
        return f"{self.name} · {self.submission}"

    @property
    def duration_ms(self) -> int | None:
        """How long the last attempt took."""
        if self.started_at is None or self.finished_at is None:
            return None
        return round((self.finished_at - self.started_at).total_seconds() * 1000)


class Finding(TenantModel):
    """One observation of a check, already fit for the publisher's eyes."""

    run = models.ForeignKey(
        CheckRun, on_delete=models.CASCADE, related_name="findings", verbose_name=_("check run")
    )
    position = models.PositiveIntegerField(_("position"))
    code = models.CharField(_("code"), max_length=100)
    severity = models.CharField(_("severity"), max_length=10)
    message = models.TextField(_("message"), help_text=_("A template."))
    params = models.JSONField(_("parameters"), default=dict, blank=True)
    path = models.TextField(_("file"), blank=True)
    line = models.PositiveIntegerField(_("line"), null=True, blank=True)
    evidence = models.TextField(_("evidence"), blank=True)

    class Meta:
        verbose_name = _("finding")
        verbose_name_plural = _("findings")
        ordering = ["run", "position"]

    def __str__(self) -> str:
        return self.code


class ReviewDecision(TenantModel):
    """A reviewer's verdict. The database itself refuses one of the submitter, and a second one of the same reviewer."""

    submission = models.ForeignKey(
        Submission, on_delete=models.PROTECT, related_name="decisions", verbose_name=_("submission")
    )
    # Together with `submission` a foreign key to the submission's own column, so that it cannot be made up.
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", verbose_name=_("submitted by")
    )
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", verbose_name=_("reviewer")
    )
    approve = models.BooleanField(_("approves"))
    reason = models.TextField(_("reason"))
    sha256 = models.CharField(_("digest"), max_length=64)
    decided_at = models.DateTimeField(_("decided"), auto_now_add=True)

    class Meta:
        verbose_name = _("review decision")
        verbose_name_plural = _("review decisions")
        ordering = ["decided_at"]
        constraints = [
            models.UniqueConstraint(fields=["submission", "reviewer"], name="review_one_decision_each"),
            models.CheckConstraint(
                condition=~Q(reviewer=F("submitted_by")), name="review_reviewer_is_not_submitter"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.submission} · {'✓' if self.approve else '✗'}"
