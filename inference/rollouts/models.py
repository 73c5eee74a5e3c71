"""Endpoints, the traffic split between versions of one model and its history; rollouts."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.tenants.models import TenantModel
from inference.registry.models import NAME_PATTERN, Model, ModelVersion
from inference.rollouts.outcome_models import Feedback, InputCount, OutcomeRecord

MIN_OBJECTIVE_MS, MAX_OBJECTIVE_MS = 1, 600_000

__all__ = [
    "Endpoint",
    "EndpointArm",
    "Feedback",
    "InputCount",
    "OutcomeRecord",
    "Rollout",
    "RolloutLook",
    "SplitChange",
]


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
    routing = models.JSONField(
        _("routing rules"),
        default=dict,
        blank=True,
        help_text=_("Cohorts that one version answers, and shadow versions; beside the split."),
    )
    latency_objective_ms = models.PositiveIntegerField(
        _("latency objective in milliseconds"),
        null=True,
        blank=True,
        help_text=_("How long a request may wait for its turn; empty: as in the whole installation."),
    )

    class Meta:
        verbose_name = _("endpoint")
        verbose_name_plural = _("endpoints")
        ordering = ["name"]
        permissions = [("invoke_endpoint", "Can get predictions from the endpoint")]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="rollouts_endpoint_name"),
            models.CheckConstraint(
                condition=models.Q(latency_objective_ms=None)
                | models.Q(latency_objective_ms__range=(MIN_OBJECTIVE_MS, MAX_OBJECTIVE_MS)),
                name="rollouts_endpoint_objective_in_bounds",
            ),
        ]

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
        ROUTING = "routing", _("rules set")
        ROLL_BACK = "roll_back", _("rolled back")

    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.PROTECT, related_name="changes", verbose_name=_("endpoint")
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    before = models.JSONField(
        _("before"), help_text=_("Percent by version; of a change of rules, the rules.")
    )
    after = models.JSONField(_("after"))
    rollout = models.ForeignKey(
        "Rollout",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="changes",
        verbose_name=_("rollout"),
        help_text=_("The rollout that made it; its changes are taken back together."),
    )
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

    @property
    def of_rules(self) -> bool:
        """Whether it changed the routing rules, not the split."""
        made = self.undoes if self.undoes is not None else self
        return made.kind == self.Kind.ROUTING


class Rollout(TenantModel):
    """A change of traffic that is decided by what the versions do: its plan, where it stands, and how it ended."""

    class Kind(models.TextChoices):
        CANARY = "canary", _("canary")
        BLUE_GREEN = "blue_green", _("blue-green")
        BANDIT = "bandit", _("bandit")
        EXPERIMENT = "experiment", _("experiment")

    class State(models.TextChoices):
        RUNNING = "running", _("running")
        HOLDING = "holding", _("waits for a person")
        PROMOTED = "promoted", _("promoted")
        ROLLED_BACK = "rolled_back", _("rolled back")
        CANCELLED = "cancelled", _("cancelled")

    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.PROTECT, related_name="rollouts", verbose_name=_("endpoint")
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    state = models.CharField(_("state"), max_length=11, choices=State.choices, default=State.RUNNING)
    stable = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="+", verbose_name=_("stable version")
    )
    candidate = models.ForeignKey(
        ModelVersion,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("new version"),
        help_text=_("Empty where several versions compete."),
    )
    plan = models.JSONField(
        _("plan"), help_text=_("Steps, guardrails and error rate, as checked at the start.")
    )
    before = models.JSONField(_("split before"), help_text=_("Percent by version; a way back leads here."))
    step = models.PositiveSmallIntegerField(_("step"), default=0, help_text=_("From 0."))
    step_started_at = models.DateTimeField(_("step since"))
    looks = models.PositiveIntegerField(_("looks"), default=0)
    looked_at = models.DateTimeField(_("last look"), null=True, blank=True)
    memory = models.JSONField(
        _("memory"), default=dict, blank=True, help_text=_("What the controller carries from look to look.")
    )
    reason = models.TextField(_("reason"), blank=True)
    ended_reason = models.TextField(_("why it ended or waits"), blank=True)
    started_by_kind = models.CharField(_("kind of actor"), max_length=12)
    started_by_id = models.CharField(_("actor id"), max_length=64, blank=True)
    started_by_label = models.CharField(_("started by"), max_length=200)
    started_at = models.DateTimeField(_("started"))
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        verbose_name = _("rollout")
        verbose_name_plural = _("rollouts")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint"],
                condition=models.Q(state__in=["running", "holding"]),
                name="rollouts_one_open_rollout",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["running", "holding"]) ^ models.Q(ended_at__isnull=False),
                name="rollouts_ended_rollout_has_a_time",
            ),
            models.CheckConstraint(
                condition=models.Q(candidate=None) | ~models.Q(candidate=models.F("stable")),
                name="rollouts_candidate_is_another_version",
            ),
        ]
        indexes = [
            models.Index(
                fields=["looked_at"], condition=models.Q(state="running"), name="rollouts_rollout_running"
            )
        ]

    def __str__(self) -> str:
        return f"{self.endpoint.name}: {self.get_kind_display()}"

    @property
    def versions(self) -> list[str]:
        """The numbers of the versions that it is about, the stable one first."""
        if self.candidate is not None:
            return [self.stable.version, self.candidate.version]
        return list(self.plan["versions"])

    @property
    def is_open(self) -> bool:
        return self.state in (self.State.RUNNING, self.State.HOLDING)

    @property
    def question(self) -> str | None:
        """The oversight task that it waits for, by its id."""
        asked: str | None = self.memory.get("question")
        return asked


class RolloutLook(TenantModel):
    """One look at a rollout: what was counted, what was concluded, what was done. Append-only: a trigger sees to it."""

    class Verdict(models.TextChoices):
        PROMOTE = "promote", _("promote")
        HOLD = "hold", _("hold")
        ROLL_BACK = "roll_back", _("roll back")
        INCONCLUSIVE = "inconclusive", _("inconclusive")

    class Action(models.TextChoices):
        NONE = "none", _("nothing yet")
        ADVANCE = "advance", _("next step")
        PROMOTE = "promote", _("promoted")
        ROLL_BACK = "roll_back", _("rolled back")
        ASK = "ask", _("asked a person")
        WEIGH = "weigh", _("shares moved")

    rollout = models.ForeignKey(
        Rollout, on_delete=models.PROTECT, related_name="evidence", verbose_name=_("rollout")
    )
    number = models.PositiveIntegerField(_("number"))
    step = models.PositiveSmallIntegerField(_("step"))
    at = models.DateTimeField(_("time"))
    verdict = models.CharField(_("verdict"), max_length=12, choices=Verdict.choices)
    action = models.CharField(_("action"), max_length=9, choices=Action.choices)
    reason = models.TextField(_("reason"))
    judgement = models.JSONField(_("judgement"), help_text=_("Each guardrail's check, and what was counted."))

    class Meta:
        verbose_name = _("look at a rollout")
        verbose_name_plural = _("looks at rollouts")
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["rollout", "number"], name="rollouts_look_once")]

    def __str__(self) -> str:
        return f"{self.number}: {self.verdict}"
