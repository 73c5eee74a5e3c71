"""Batch predictions: a job over a file, cut into shards that workers compute one by one."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.data.models import Dataset
from governance.tenants.models import TenantModel
from inference.registry.models import ModelVersion
from inference.rollouts.models import Endpoint


class BatchJob(TenantModel):
    """A prediction for every row of a file or a dataset, by one version that is pinned when the job is made."""

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        PAUSED = "paused", _("paused")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    class Format(models.TextChoices):
        JSONL = "jsonl", _("JSON lines")
        CSV = "csv", "CSV"
        PARQUET = "parquet", "Parquet"

    class ResultFormat(models.TextChoices):
        JSONL = "jsonl", _("JSON lines")
        PARQUET = "parquet", "Parquet"

    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.PROTECT, related_name="batch_jobs", verbose_name=_("endpoint")
    )
    model_version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="batch_jobs", verbose_name=_("model version")
    )
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.QUEUED)
    dataset = models.ForeignKey(
        Dataset,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("dataset"),
        help_text=_("Where its input comes from; empty: it was uploaded."),
    )
    filename = models.CharField(_("file"), max_length=200)
    format = models.CharField(_("format"), max_length=7, choices=Format.choices)
    result_format = models.CharField(
        _("format of the result"), max_length=7, choices=ResultFormat.choices, default=ResultFormat.JSONL
    )
    input_sha256 = models.CharField(_("digest of the input"), max_length=64)
    input_bytes = models.BigIntegerField(_("size of the input in bytes"))
    row_count = models.IntegerField(_("rows"), null=True, help_text=_("Known once the file has been read."))
    rows_ok = models.IntegerField(_("rows answered"), default=0)
    rows_bad = models.IntegerField(_("rows with an error"), default=0)
    result_sha256 = models.CharField(_("digest of the result"), max_length=64, blank=True)
    result_id = models.UUIDField(
        _("result"), null=True, help_text=_("The attempt to join whose file is the result.")
    )
    result_bytes = models.BigIntegerField(_("size of the result in bytes"), null=True)
    error = models.TextField(_("error"), blank=True)
    idempotency_key = models.CharField(_("idempotency key"), max_length=128, blank=True)
    created_by_kind = models.CharField(_("kind of caller"), max_length=12)
    created_by_id = models.CharField(_("caller id"), max_length=64)
    created_by_label = models.CharField(_("caller"), max_length=200)
    request_id = models.CharField(_("request id"), max_length=64, blank=True)
    duties = models.JSONField(
        _("duties"), default=list, help_text=_("The obligations of the decision that admitted it.")
    )
    scopes = models.JSONField(
        _("scopes"), null=True, help_text=_("Of the token that asked for it; empty for a person’s session.")
    )
    application_id = models.UUIDField(
        _("application"), null=True, help_text=_("The program whose token asked for it.")
    )
    amount = models.BigIntegerField(
        _("amount"), null=True, help_text=_("What was said to be at stake; empty where nothing was said.")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    paused_at = models.DateTimeField(_("paused"), null=True)
    sent_at = models.DateTimeField(
        _("last sent"),
        auto_now_add=True,
        help_text=_("When its planning or joining was last given to Celery."),
    )
    plan_attempts = models.PositiveSmallIntegerField(_("attempts to plan"), default=0)
    planned_until = models.DateTimeField(
        _("in planning until"),
        null=True,
        help_text=_("As long as a worker says that it reads the file."),
    )
    join_attempts = models.PositiveSmallIntegerField(_("attempts to join"), default=0)
    joined_until = models.DateTimeField(
        _("in joining until"),
        null=True,
        help_text=_("As long as a worker says that it joins the parts of the result."),
    )

    class Meta:
        verbose_name = _("batch job")
        verbose_name_plural = _("batch jobs")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "created_by_id", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                name="serving_job_once_per_key",
            )
        ]
        indexes = [
            models.Index(
                fields=["sent_at"],
                condition=models.Q(state__in=["queued", "running"]),
                name="serving_job_open",
            )
        ]

    def __str__(self) -> str:
        return self.filename


class BatchShard(TenantModel):
    """A range of rows of a job. Its lease says that a worker is at it; a lease that ran out may be taken over."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    job = models.ForeignKey(
        BatchJob, on_delete=models.CASCADE, related_name="shards", verbose_name=_("batch job")
    )
    index = models.IntegerField(_("number"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.WAITING)
    first_row = models.IntegerField(_("first row"), help_text=_("From 1."))
    first_line = models.IntegerField(_("first line"), help_text=_("Line of the file, from 1."))
    row_count = models.IntegerField(_("rows"))
    byte_start = models.BigIntegerField(_("first byte"))
    byte_end = models.BigIntegerField(_("byte after the last"))
    attempts = models.IntegerField(_("attempts"), default=0)
    lease_until = models.DateTimeField(_("leased until"), null=True)
    lease_token = models.UUIDField(_("lease"), null=True, help_text=_("Which attempt holds the lease."))
    rows_done = models.IntegerField(_("rows done"), default=0)
    rows_bad = models.IntegerField(_("rows with an error"), default=0)
    result_sha256 = models.CharField(_("digest of the result"), max_length=64, blank=True)
    error = models.TextField(_("error"), blank=True)
    sent_at = models.DateTimeField(_("last sent"), auto_now_add=True)
    sent_count = models.IntegerField(_("times sent"), default=1)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        verbose_name = _("batch shard")
        verbose_name_plural = _("batch shards")
        ordering = ["job", "index"]
        constraints = [
            models.UniqueConstraint(fields=["job", "index"], name="serving_shard_once"),
            models.CheckConstraint(
                condition=~models.Q(state="running")
                | models.Q(lease_until__isnull=False, lease_token__isnull=False),
                name="serving_running_shard_is_leased",
            ),
        ]
        indexes = [
            models.Index(
                fields=["state", "lease_until"],
                condition=models.Q(state__in=["waiting", "running"]),
                name="serving_shard_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.job} · {self.index}"
