"""People over machines: stop buttons, and the queue of decisions that a person must look at."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from governance.ids import uuid7
from governance.refs import ObjectRef
from governance.tenants.models import TenantModel


class Stop(TenantModel):
    """A pressed stop button: nothing it covers answers until two people have released it."""

    class Scope(models.TextChoices):
        ENDPOINT = "endpoint", _("endpoint")
        SKILL = "skill", _("skill")
        TENANT = "tenant", _("organisation")
        PLATFORM = "platform", _("the whole platform")

    class State(models.TextChoices):
        PRESSED = "pressed", _("stopped")
        RELEASING = "releasing", _("release asked for")
        RELEASED = "released", _("released")

    scope = models.CharField(_("what is stopped"), max_length=8, choices=Scope.choices)
    target_type = models.CharField(_("kind of object"), max_length=100, blank=True)
    target_id = models.CharField(_("object id"), max_length=100, blank=True)
    target_label = models.CharField(_("object"), max_length=200, blank=True)
    state = models.CharField(_("state"), max_length=9, choices=State.choices, default=State.PRESSED)
    reason = models.TextField(_("reason"))
    pressed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("pressed by"),
    )
    pressed_at = models.DateTimeField(_("pressed"), auto_now_add=True)
    release_asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("release asked for by"),
    )
    release_asked_at = models.DateTimeField(_("release asked for"), null=True, blank=True)
    release_reason = models.TextField(_("why it may go on"), blank=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("released by"),
    )
    released_at = models.DateTimeField(_("released"), null=True, blank=True)

    class Meta:
        verbose_name = _("stop")
        verbose_name_plural = _("stops")
        ordering = ["-pressed_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "scope", "target_type", "target_id"],
                condition=~Q(state="released"),
                name="oversight_one_stop_per_thing",
            ),
            models.CheckConstraint(
                condition=Q(released_by__isnull=True) | ~Q(released_by=F("release_asked_by")),
                name="oversight_two_people_release",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_scope_display()} {self.target_label}".strip()


class OversightRule(TenantModel):
    """When an endpoint's or skill's answers go to a person, and how long that person has."""

    target_type = models.CharField(_("kind of object"), max_length=100)
    target_id = models.CharField(_("object id"), max_length=100)
    target_label = models.CharField(_("object"), max_length=200, blank=True)
    confidence_below = models.FloatField(
        _("confidence below"),
        null=True,
        blank=True,
        help_text=_("From 0 to 1: an answer whose highest probability is lower goes to a person."),
    )
    output = models.CharField(
        _("output"),
        max_length=200,
        blank=True,
        help_text=_("The output tensor that holds the probabilities."),
    )
    withhold = models.BooleanField(
        _("withhold"),
        default=False,
        help_text=_("Such an answer is given only once a person has confirmed it."),
    )
    due_minutes = models.PositiveIntegerField(_("minutes to decide"), default=240)
    question = models.CharField(_("question to the person"), max_length=500)
    options = models.JSONField(_("possible answers"), default=list)

    class Meta:
        verbose_name = _("oversight rule")
        verbose_name_plural = _("oversight rules")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "target_type", "target_id"], name="oversight_one_rule"),
            models.CheckConstraint(
                condition=Q(confidence_below__isnull=True)
                | (Q(confidence_below__gte=0) & Q(confidence_below__lte=1)),
                name="oversight_confidence_is_a_probability",
            ),
            models.CheckConstraint(
                condition=Q(withhold=False) | Q(confidence_below__isnull=False),
                name="oversight_withholds_below_a_confidence",
            ),
        ]

    def __str__(self) -> str:
        return self.target_label or self.target_id


class OversightTask(TenantModel):
    """One decision of a machine that a person must look at, with a deadline. What the person says becomes a label."""

    class Cause(models.TextChoices):
        LOW_CONFIDENCE = "low_confidence", _("the model is not sure")
        HIGH_IMPACT = "high_impact", _("much depends on it")
        CONTESTED = "contested", _("somebody contests it")
        APPEAL = "appeal", _("appeal against a person's decision")

    class State(models.TextChoices):
        OPEN = "open", _("waiting")
        CLAIMED = "claimed", _("somebody looks at it")
        DECIDED = "decided", _("decided")
        WITHDRAWN = "withdrawn", _("withdrawn")
        LAPSED = "lapsed", _("nobody decided in time")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cause = models.CharField(_("cause"), max_length=14, choices=Cause.choices)
    subject_type = models.CharField(_("kind of subject"), max_length=100)
    subject_id = models.CharField(_("subject id"), max_length=100)
    subject_label = models.CharField(_("subject"), max_length=200, blank=True)
    subject_digest = models.CharField(_("digest"), max_length=64, blank=True)
    decision_id = models.CharField(
        _("decision"), max_length=64, blank=True, help_text=_("The request id of the machine's answer.")
    )
    question = models.CharField(_("question"), max_length=500)
    options = models.JSONField(_("possible answers"), default=list)
    facts = models.JSONField(
        _("facts"), default=dict, help_text=_("What the person needs to decide; never more than that.")
    )
    proposed = models.CharField(_("the machine's answer"), max_length=200, blank=True)
    state = models.CharField(_("state"), max_length=9, choices=State.choices, default=State.OPEN)
    opened_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("opened by"),
    )
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("asked by"),
        help_text=_("Whose question the machine answered, or who contests it; this person does not decide."),
    )
    opened_at = models.DateTimeField(_("opened"), auto_now_add=True)
    due_at = models.DateTimeField(_("to be decided by"))
    escalated_at = models.DateTimeField(_("escalated"), null=True, blank=True)
    claimed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("looked at by"),
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("decided by"),
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    answer = models.CharField(_("answer"), max_length=200, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    appeal_of = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="appeals",
        verbose_name=_("appeal against"),
    )

    class Meta:
        verbose_name = _("oversight task")
        verbose_name_plural = _("oversight tasks")
        ordering = ["due_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "subject_type", "subject_id", "decision_id", "cause"],
                condition=Q(state__in=["open", "claimed"]) & ~Q(decision_id=""),
                name="oversight_one_open_task",
            ),
            models.UniqueConstraint(
                fields=["appeal_of"], condition=Q(appeal_of__isnull=False), name="oversight_one_appeal"
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True)
                | Q(asked_by__isnull=True)
                | ~Q(decided_by=F("asked_by")),
                name="oversight_somebody_else_decides",
            ),
        ]
        indexes = [models.Index(fields=["tenant", "state", "due_at"], name="oversight_queue")]

    def __str__(self) -> str:
        return self.question

    @property
    def subject(self) -> ObjectRef:
        """What the decision was made by."""
        return ObjectRef(self.subject_type, self.subject_id, self.subject_digest, self.subject_label)


class Withheld(TenantModel):
    """What a machine may not give or do before a person has confirmed it: an answer, or a request, kept sealed.

    Only whoever asked for it gets it, with the right that the question needed, until `expires_at`.
    """

    task = models.OneToOneField(OversightTask, on_delete=models.PROTECT, related_name="withheld")
    action = models.CharField(
        _("action"), max_length=100, help_text=_("The right that is asked for again when it is fetched.")
    )
    holder_kind = models.CharField(_("kind of principal"), max_length=10)
    holder_id = models.CharField(_("principal"), max_length=100)
    context = models.JSONField(_("what was said about the use"), default=dict)
    content = models.BinaryField(
        _("content"), null=True, help_text=_("Sealed; erased when it is of no more use.")
    )
    content_type = models.CharField(_("content type"), max_length=60)
    json_bytes = models.PositiveIntegerField(
        _("bytes of JSON"), null=True, help_text=_("Where binary tensors follow.")
    )
    expires_at = models.DateTimeField(_("kept until"))
    used_at = models.DateTimeField(_("used"), null=True, blank=True)

    class Meta:
        verbose_name = _("withheld answer")
        verbose_name_plural = _("withheld answers")
        indexes = [models.Index(fields=["tenant", "expires_at"], name="oversight_withheld_until")]

    def __str__(self) -> str:
        return str(self.task_id)


class HumanLabel(TenantModel):
    """What a person decided about one answer of a machine: ground truth for evaluation and training."""

    task = models.OneToOneField(OversightTask, on_delete=models.PROTECT, related_name="label_row")
    subject_type = models.CharField(_("kind of subject"), max_length=100)
    subject_id = models.CharField(_("subject id"), max_length=100)
    decision_id = models.CharField(_("decision"), max_length=64, blank=True)
    proposed = models.CharField(_("the machine's answer"), max_length=200, blank=True)
    label = models.CharField(_("the person's answer"), max_length=200)
    at = models.DateTimeField(_("decided"))
    in_force = models.BooleanField(
        _("in force"), default=True, help_text=_("No longer, once an appeal was decided.")
    )

    class Meta:
        verbose_name = _("label by a person")
        verbose_name_plural = _("labels by people")
        ordering = ["-at"]
        indexes = [models.Index(fields=["tenant", "subject_type", "subject_id"], name="oversight_labels")]

    def __str__(self) -> str:
        return self.label
