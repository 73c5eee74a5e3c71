"""Endpoints, the traffic split between versions of one model, its history, and what was answered."""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.tenants.models import TenantModel
from inference.registry.models import NAME_PATTERN, Model, ModelVersion


class Endpoint(TenantModel):
    """A stable name that callers use; the versions behind it change. It is the protocol's “model name”."""

    name = models.CharField(
        _("name"),
        max_length=64,
        validators=[RegexValidator(NAME_PATTERN)],
        help_text=_("Callers use it as the model's name in /v2/models/{name}."),
    )
    model = models.ForeignKey(
        Model, on_delete=models.PROTECT, related_name="endpoints", verbose_name=_("model")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    split_changed_at = models.DateTimeField(_("split changed"), auto_now_add=True)

    class Meta:
        verbose_name = _("endpoint")
        verbose_name_plural = _("endpoints")
        ordering = ["name"]
        permissions = [("invoke_endpoint", "Can get predictions from the endpoint")]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="rollouts_endpoint_name")]

    def __str__(self) -> str:
        return self.name


class EndpointArm(TenantModel):
    """A version behind an endpoint and its share. At commit the shares of an endpoint sum to 100: a trigger sees to it.

    An arm with 0 percent gets no traffic of its own accord, but a caller may name its version.
    """

    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.CASCADE, related_name="arms", verbose_name=_("endpoint")
    )
    model_version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="arms", verbose_name=_("model version")
    )
    weight = models.PositiveSmallIntegerField(_("share in percent"))

    class Meta:
        verbose_name = _("arm")
        verbose_name_plural = _("traffic split")
        ordering = ["endpoint", "id"]
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "model_version"], name="rollouts_arm_once"),
            models.CheckConstraint(condition=models.Q(weight__range=(0, 100)), name="rollouts_arm_percent"),
        ]

    def __str__(self) -> str:
        return f"{self.model_version.version}: {self.weight} %"


class SplitChange(TenantModel):
    """One change of an endpoint's split. Append-only: a trigger refuses updates and deletions."""

    class Kind(models.TextChoices):
        CREATE = "create", _("created")
        SET = "set", _("set")
        ROLL_BACK = "roll_back", _("rolled back")

    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.PROTECT, related_name="changes", verbose_name=_("endpoint")
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    before = models.JSONField(_("before"), help_text=_("Percent by version."))
    after = models.JSONField(_("after"))
    undoes = models.OneToOneField(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="undone_by",
        verbose_name=_("takes back"),
    )
    actor_kind = models.CharField(_("kind of actor"), max_length=12)
    actor_id = models.CharField(_("actor id"), max_length=64, blank=True)
    actor_label = models.CharField(_("actor"), max_length=200)
    reason = models.TextField(_("reason"), blank=True)
    at = models.DateTimeField(_("time"), auto_now_add=True)

    class Meta:
        verbose_name = _("split change")
        verbose_name_plural = _("split changes")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind="roll_back") ^ models.Q(undoes=None),
                name="rollouts_roll_back_names_what_it_undoes",
            )
        ]

    def __str__(self) -> str:
        return f"{self.endpoint.name}: {self.before} → {self.after}"


class OutcomeRecord(TenantModel):
    """What one request to an endpoint came to. Written in bulk behind the requests, kept for some weeks.

    The references carry no foreign keys, because thousands of rows a second must not lock what they point at.
    """

    endpoint = models.ForeignKey(
        Endpoint,
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

    class Meta:
        verbose_name = _("outcome")
        verbose_name_plural = _("outcomes")
        ordering = ["-at"]
        indexes = [
            # Answers the figures of an endpoint from the index alone.
            models.Index(
                fields=["endpoint", "at"],
                include=["tenant", "model_version", "status", "latency_us"],
                name="rollouts_outcome_figures",
            ),
            # Rows arrive in the order of time: a few pages are enough to find a window or the oldest rows.
            BrinIndex(fields=["at"], name="rollouts_outcome_at"),
        ]

    def __str__(self) -> str:
        return f"{self.status} in {self.latency_us} µs"
