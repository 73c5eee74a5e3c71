"""What was answered, and what became known about it later."""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.tenants.models import TenantModel
from inference.registry.models import ModelVersion


class OutcomeRecord(TenantModel):
    """What one request to an endpoint came to. Written in bulk behind the requests, kept for some weeks.

    The references carry no foreign keys, because thousands of rows a second must not lock what they point at. Its id is
    the `decision_id` of the answer.
    """

    class Chosen(models.TextChoices):
        SPLIT = "split", _("the split")
        STICKY = "sticky", _("the session")
        RULE = "rule", _("a rule")
        NAMED = "named", _("the caller")
        STAND_IN = "stand_in", _("nothing else was ready")
        SHADOW = "shadow", _("mirrored")

    endpoint = models.ForeignKey(
        "rollouts.Endpoint",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("endpoint"),
    )
    model_version = models.ForeignKey(
        ModelVersion,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        related_name="+",
        verbose_name=_("model version"),
        help_text=_("Empty when the request failed before a version was chosen."),
    )
    at = models.DateTimeField(_("time"))
    latency_us = models.IntegerField(_("latency in microseconds"))
    status = models.SmallIntegerField(_("HTTP status"))
    rows = models.IntegerField(_("rows"))
    bytes_in = models.BigIntegerField(_("bytes received"))
    principal_id = models.CharField(_("caller"), max_length=64, blank=True)
    request_id = models.CharField(_("request id"), max_length=64, blank=True)
    chosen = models.CharField(
        _("chosen by"),
        max_length=8,
        choices=Chosen.choices,
        blank=True,
        help_text=_("How the version came to answer; empty when none was chosen."),
    )
    propensity = models.FloatField(
        _("propensity"), null=True, help_text=_("The probability with which the version was chosen.")
    )
    predicted = models.CharField(
        _("class"), max_length=64, blank=True, help_text=_("Of a classification of one row.")
    )
    confidence = models.FloatField(_("confidence"), null=True)
    mirror_of = models.UUIDField(
        _("mirror of"), null=True, help_text=_("The answer that this shadow's computation stands behind.")
    )

    class Meta:
        verbose_name = _("outcome")
        verbose_name_plural = _("outcomes")
        ordering = ["-at"]
        indexes = [
            # Answers the figures of an endpoint from the index alone.
            models.Index(
                fields=["endpoint", "at"],
                include=["tenant", "model_version", "status", "latency_us", "chosen"],
                name="rollouts_outcome_figures",
            ),
            # Rows arrive in the order of time: a few pages are enough to find a window or the oldest rows.
            BrinIndex(fields=["at"], name="rollouts_outcome_at"),
        ]

    def __str__(self) -> str:
        return f"{self.status} in {self.latency_us} µs"


class Feedback(TenantModel):
    """What became known about one answer later: its right class, a reward, a business event. Append-only.

    The newest row of a decision and kind counts; the others are its history. No foreign key leads to the decision,
    whose record is dropped after some weeks.
    """

    class Kind(models.TextChoices):
        LABEL = "label", _("label")
        REWARD = "reward", _("reward")
        TASK_COMPLETED = "task_completed", _("task completed")
        SATISFACTION = "satisfaction", _("satisfaction")
        COST = "cost", _("cost")

    decision_id = models.UUIDField(_("decision"))
    endpoint = models.ForeignKey(
        "rollouts.Endpoint",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("endpoint"),
    )
    kind = models.CharField(_("kind"), max_length=14, choices=Kind.choices)
    text = models.CharField(_("label"), max_length=64, blank=True)
    number = models.FloatField(_("value"), null=True)
    key = models.CharField(_("idempotency key"), max_length=64)
    sender_id = models.CharField(_("sent by"), max_length=64)
    at = models.DateTimeField(_("received"))

    class Meta:
        verbose_name = _("feedback")
        verbose_name_plural = _("feedback")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "sender_id", "key", "kind"], name="rollouts_feedback_once_per_key"
            ),
            models.CheckConstraint(
                condition=models.Q(kind="label", number=None) & ~models.Q(text="")
                | ~models.Q(kind="label") & models.Q(text="", number__isnull=False),
                name="rollouts_feedback_has_one_value",
            ),
        ]
        indexes = [
            models.Index(
                fields=["decision_id", "kind", "-id"],
                include=["tenant", "text", "number"],
                name="rollouts_feedback_newest",
            ),
            models.Index(fields=["endpoint", "at"], name="rollouts_feedback_endpoint"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.text or self.number}"


class InputCount(TenantModel):
    """How many inputs of a version fell into the bins of its training reference: of one minute, from one process.

    Counts of a sample, never values. `revision` is the reference's that the bins are of. By feature, one count for each
    bin and one for values that were no finite numbers. No foreign keys lead away, as of outcomes.
    """

    model_version = models.ForeignKey(
        ModelVersion,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
        verbose_name=_("model version"),
    )
    revision = models.UUIDField(_("revision"))
    at = models.DateTimeField(_("minute"))
    writer = models.UUIDField(_("process"))
    rows = models.IntegerField(_("rows"))
    counts = models.JSONField(_("counts by feature"))

    class Meta:
        verbose_name = _("counts of inputs")
        verbose_name_plural = _("counts of inputs")
        ordering = ["-at"]
        constraints = [
            models.UniqueConstraint(
                fields=["model_version", "revision", "at", "writer"], name="rollouts_inputs_once_a_minute"
            )
        ]
        indexes = [BrinIndex(fields=["at"], name="rollouts_inputs_at")]

    def __str__(self) -> str:
        return f"{self.rows} rows"
