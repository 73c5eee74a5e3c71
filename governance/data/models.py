"""The catalogue: what data, models and endpoints there are, what they hold, where they came from, where they may go."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from governance.data.erasure_models import Erasure, ErasurePlace
from governance.data.labels import Limits
from governance.refs import ObjectRef
from governance.tenants.models import TenantModel

__all__ = [
    "NAME_PATTERN",
    "Asset",
    "BurstPolicy",
    "ComputePool",
    "Dataset",
    "Declassification",
    "Erasure",
    "ErasurePlace",
    "Label",
    "LineageEdge",
    "PlacementRecord",
]

NAME_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"


class Label(models.TextChoices):
    PUBLIC = "public", _("public")
    INTERNAL = "internal", _("internal")
    CONFIDENTIAL = "confidential", _("confidential")
    RESTRICTED = "restricted", _("restricted")


class Asset(TenantModel):
    """Anything that holds or was made from data, known by type and id: a dataset, a model version, an endpoint."""

    type = models.CharField(_("kind"), max_length=100)
    object_id = models.CharField(_("object id"), max_length=100)
    digest = models.CharField(_("digest"), max_length=64, blank=True)
    name = models.CharField(_("name"), max_length=200)
    label = models.CharField(_("label"), max_length=12, choices=Label.choices, default=Label.INTERNAL)
    subjects = models.JSONField(
        _("about"),
        default=list,
        blank=True,
        help_text=_("Whom or what it is about: personal, health, payment."),
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("owner"),
    )
    purpose = models.CharField(
        _("purpose"), max_length=100, blank=True, help_text=_("The only use it may be put to; empty: any.")
    )
    retention_days = models.PositiveIntegerField(
        _("kept for days"),
        null=True,
        blank=True,
        help_text=_("Then it is erased; empty: kept until somebody acts."),
    )
    region = models.CharField(
        _("region"),
        max_length=60,
        blank=True,
        help_text=_("Where it must stay; empty: anywhere the label allows."),
    )
    licence = models.CharField(_("licence"), max_length=100, blank=True)
    created_at = models.DateTimeField(_("registered"), auto_now_add=True)
    erased_at = models.DateTimeField(_("erased"), null=True, blank=True)
    must_retrain_at = models.DateTimeField(
        _("must be retrained since"),
        null=True,
        blank=True,
        help_text=_("Data that it was trained on has been erased."),
    )
    retention_tried_at = models.DateTimeField(
        _("retention last tried"),
        null=True,
        blank=True,
        help_text=_("What could not be erased waits behind what was not tried yet."),
    )

    class Meta:
        verbose_name = _("asset")
        verbose_name_plural = _("assets")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "type", "object_id"], name="data_asset_once")
        ]
        indexes = [
            models.Index(fields=["tenant", "label"], name="data_asset_label"),
            models.Index(
                fields=["created_at"],
                condition=Q(retention_days__isnull=False, erased_at__isnull=True),
                name="data_asset_retention",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def target(self) -> ObjectRef:
        """The object itself."""
        return ObjectRef(type=self.type, id=self.object_id, digest=self.digest, label=self.name)

    @property
    def limits(self) -> Limits:
        """What flows from it to what is made of it."""
        return Limits(self.label, tuple(self.subjects), self.region, self.purpose)


class LineageEdge(TenantModel):
    """`target` came about through `source`: it was derived from it, trained on it, approved by it, deployed from it."""

    class Relation(models.TextChoices):
        DERIVED_FROM = "derived_from", _("derived from")
        TRAINED_ON = "trained_on", _("trained on")
        EVALUATED_ON = "evaluated_on", _("evaluated on")
        APPROVED_BY = "approved_by", _("approved by")
        DEPLOYED_TO = "deployed_to", _("serves")
        PREDICTED_BY = "predicted_by", _("predicted by")

    source = models.ForeignKey(
        Asset, on_delete=models.PROTECT, related_name="outgoing", verbose_name=_("source")
    )
    target = models.ForeignKey(
        Asset, on_delete=models.PROTECT, related_name="incoming", verbose_name=_("what came of it")
    )
    relation = models.CharField(_("relation"), max_length=14, choices=Relation.choices)
    at = models.DateTimeField(_("time"), auto_now_add=True)
    by_kind = models.CharField(_("kind of actor"), max_length=12)
    by_id = models.CharField(_("actor id"), max_length=64, blank=True)
    by_label = models.CharField(_("actor"), max_length=200)

    class Meta:
        verbose_name = _("lineage")
        verbose_name_plural = _("lineage")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["source", "target", "relation"], name="data_lineage_once"),
            models.CheckConstraint(condition=~Q(source=F("target")), name="data_lineage_no_self"),
        ]

    def __str__(self) -> str:
        return f"{self.target_id} {self.relation} {self.source_id}"


class Declassification(TenantModel):
    """A request to loosen what holds an asset back: label, subjects, region, purpose, or how long it is kept.

    Somebody else decides it; the database refuses that the same person does.
    """

    class State(models.TextChoices):
        REQUESTED = "requested", _("waiting for a decision")
        APPROVED = "approved", _("approved")
        REFUSED = "refused", _("refused")

    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+", verbose_name=_("asset"))
    from_label = models.CharField(_("present label"), max_length=12, choices=Label.choices)
    from_subjects = models.JSONField(_("about, at present"), default=list)
    to_label = models.CharField(_("wanted label"), max_length=12, choices=Label.choices)
    to_subjects = models.JSONField(_("about, then"), default=list)
    from_region = models.CharField(_("present region"), max_length=60, blank=True)
    to_region = models.CharField(_("wanted region"), max_length=60, blank=True)
    from_purpose = models.CharField(_("present purpose"), max_length=100, blank=True)
    to_purpose = models.CharField(_("wanted purpose"), max_length=100, blank=True)
    from_retention_days = models.PositiveIntegerField(_("kept for days, at present"), null=True)
    to_retention_days = models.PositiveIntegerField(
        _("kept for days, then"), null=True, help_text=_("Empty: kept until somebody acts.")
    )
    reason = models.TextField(_("reason"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.REQUESTED)
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
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    decision_reason = models.TextField(_("reason of the decision"), blank=True)

    class Meta:
        verbose_name = _("declassification")
        verbose_name_plural = _("declassifications")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["asset"], condition=Q(state="requested"), name="data_one_open_declassification"
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("requested_by")),
                name="data_requester_does_not_decide",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.asset}: {self.from_label} → {self.to_label}"

    @property
    def present(self) -> Limits:
        """What held when it was asked for."""
        return Limits(self.from_label, tuple(self.from_subjects), self.from_region, self.from_purpose)

    @property
    def wanted(self) -> Limits:
        """What is to hold."""
        return Limits(self.to_label, tuple(self.to_subjects), self.to_region, self.to_purpose)


class ComputePool(TenantModel):
    """Where work may run. A pool of the platform that is `shared` is open to every tenant."""

    class Kind(models.TextChoices):
        PRIVATE = "private", _("private")
        PUBLIC = "public", _("public cloud")
        EDGE = "edge", _("edge")

    name = models.CharField(_("name"), max_length=40, validators=[RegexValidator(NAME_PATTERN)])
    address = models.CharField(
        _("address"),
        max_length=104,
        unique=True,
        editable=False,
        help_text=_(
            "What its workers and queues are called; a tenant's own pool has its short name before it."
        ),
    )
    kind = models.CharField(_("kind"), max_length=8, choices=Kind.choices)
    region = models.CharField(_("region"), max_length=60, blank=True)
    certified_for = models.JSONField(
        _("certified for"), default=list, blank=True, help_text=_("For example hipaa, pci-dss.")
    )
    capacity = models.PositiveIntegerField(
        _("tasks a minute"),
        default=60,
        help_text=_("What it gets through; the replay of a day reckons with it."),
    )
    enabled = models.BooleanField(_("in use"), default=True)
    shared = models.BooleanField(_("open to every tenant"), default=False)

    class Meta:
        verbose_name = _("compute pool")
        verbose_name_plural = _("compute pools")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="data_pool_name")]

    def __str__(self) -> str:
        return self.address


class BurstPolicy(TenantModel):
    """From which queue length on work that may move goes to a public pool. Belongs to the platform."""

    workload = models.CharField(_("workload"), max_length=60, help_text=_("The queue, for example batch."))
    threshold = models.PositiveIntegerField(_("queue length"))
    pool = models.ForeignKey(ComputePool, on_delete=models.PROTECT, related_name="+", verbose_name=_("pool"))
    enabled = models.BooleanField(_("in use"), default=True)

    class Meta:
        verbose_name = _("burst rule")
        verbose_name_plural = _("burst rules")
        ordering = ["workload"]
        constraints = [models.UniqueConstraint(fields=["tenant", "workload"], name="data_burst_once")]

    def __str__(self) -> str:
        return f"{self.workload} > {self.threshold} → {self.pool}"


class PlacementRecord(TenantModel):
    """What was decided about a piece of work; equal decisions of one second are one row with a count."""

    at = models.DateTimeField(_("time"))
    task = models.CharField(_("task"), max_length=100)
    workload = models.CharField(_("workload"), max_length=60)
    label = models.CharField(_("label"), max_length=12, blank=True)
    subjects = models.JSONField(_("about"), default=list)
    region = models.CharField(_("region"), max_length=60, blank=True)
    kept_for = models.CharField(
        _("purpose of the data"), max_length=100, blank=True, help_text=_("The only use it may be put to.")
    )
    purpose = models.CharField(_("stated purpose"), max_length=100, blank=True)
    pool = models.CharField(_("pool"), max_length=104, blank=True, help_text=_("Empty: refused."))
    rule = models.CharField(_("rule that refused"), max_length=200, blank=True)
    reason = models.CharField(_("reason"), max_length=300, blank=True)
    starting = models.BooleanField(_("at the start of the task"), default=False)
    burst = models.BooleanField(_("burst"), default=False)
    queue_length = models.IntegerField(_("queue length"), null=True)
    on_data = models.BooleanField(
        _("names its data"), default=True, help_text=_("Work that names no data stays at home.")
    )
    count = models.PositiveIntegerField(_("times"), default=1)

    class Meta:
        verbose_name = _("placement")
        verbose_name_plural = _("placements")
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["tenant", "-at"], name="data_placement_at")]

    def __str__(self) -> str:
        return f"{self.task} → {self.pool or self.rule}"


class Dataset(TenantModel):
    """Data that people register: a file that is kept sealed here, or a reference to where it lies."""

    class Kind(models.TextChoices):
        UPLOAD = "upload", _("sealed file")
        REFERENCE = "reference", _("reference")

    asset = models.OneToOneField(
        Asset, on_delete=models.PROTECT, related_name="dataset", verbose_name=_("asset")
    )
    name = models.CharField(_("name"), max_length=100)
    description = models.TextField(_("description"), blank=True)
    kind = models.CharField(_("kind of source"), max_length=10, choices=Kind.choices)
    location = models.CharField(
        _("where it lies"), max_length=500, blank=True, help_text=_("The address of a reference.")
    )
    filename = models.CharField(_("file"), max_length=200, blank=True)
    digest = models.CharField(_("digest"), max_length=64, blank=True, help_text=_("SHA-256 of the content."))
    size_bytes = models.BigIntegerField(_("size in bytes"), null=True)
    rows = models.BigIntegerField(_("rows"), null=True)
    schema = models.JSONField(_("schema"), default=dict, blank=True)
    held_at = models.ForeignKey(
        ComputePool,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("held at"),
        help_text=_("The pool beside which it lies; empty: the private pool."),
    )
    created_at = models.DateTimeField(_("registered"), auto_now_add=True)

    class Meta:
        verbose_name = _("dataset")
        verbose_name_plural = _("datasets")
        permissions = [("read_dataset", "Can have work done on the dataset")]
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="data_dataset_name")]

    def __str__(self) -> str:
        return self.name
