"""Models and their versions: what can be served, where it came from, and what it takes and gives."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from governance.refs import ObjectRef
from governance.tenants.models import TenantModel
from inference.registry.artifacts import SealedArtifact

# One path segment of the Open Inference Protocol's addresses, and nothing that needs escaping in one.
NAME_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"
VERSION_PATTERN = r"^[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}$"


class Model(TenantModel):
    """A model of a tenant, under which its versions stand."""

    name = models.CharField(
        _("name"),
        max_length=64,
        validators=[RegexValidator(NAME_PATTERN)],
        help_text=_("Lower-case letters, digits and single hyphens."),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("model")
        verbose_name_plural = _("models")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="registry_model_name")]

    def __str__(self) -> str:
        return self.name


class ModelVersion(TenantModel):
    """One immutable artifact of a model, with the signature that callers rely on."""

    class Format(models.TextChoices):
        ONNX = "onnx", "ONNX"
        SAFETENSORS = "safetensors", "safetensors"
        TORCH_EXPORT = "torch-export", "torch.export"
        REMOTE = "remote", _("on another server")
        PATTERNS = "patterns", _("verified patterns")

    class State(models.TextChoices):
        REGISTERED = "registered", _("registered")
        READY = "ready", _("ready")
        HELD = "held", _("held back")
        RETIRED = "retired", _("retired")

    model = models.ForeignKey(
        Model, on_delete=models.PROTECT, related_name="versions", verbose_name=_("model")
    )
    version = models.CharField(_("version"), max_length=64, validators=[RegexValidator(VERSION_PATTERN)])
    state = models.CharField(
        _("state"),
        max_length=12,
        choices=State.choices,
        default=State.REGISTERED,
        help_text=_(
            "Only a ready version can stand behind an endpoint; a retired one answers nothing any more."
        ),
    )
    format = models.CharField(_("format"), max_length=12, choices=Format.choices)
    sha256 = models.CharField(_("digest"), max_length=64, help_text=_("SHA-256 of the artifact's bytes."))
    size_bytes = models.BigIntegerField(_("size in bytes"))
    inputs = models.JSONField(_("inputs"), help_text=_("Tensors: name, datatype, shape (-1: variable)."))
    outputs = models.JSONField(_("outputs"))
    card = models.TextField(_("model card"), blank=True)
    labels = models.JSONField(
        _("data labels"), default=list, blank=True, help_text=_("Classification of the data it may see.")
    )
    metrics = models.JSONField(
        _("evaluation"), default=dict, blank=True, help_text=_("Figures of its evaluation, by name.")
    )
    source_type = models.CharField(_("kind of source"), max_length=100, blank=True)
    source_id = models.CharField(_("source id"), max_length=100, blank=True)
    source_digest = models.CharField(_("source digest"), max_length=64, blank=True)
    source_label = models.CharField(_("source"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("registered"), auto_now_add=True)
    state_changed_at = models.DateTimeField(_("state since"), auto_now_add=True)

    class Meta:
        verbose_name = _("model version")
        verbose_name_plural = _("model versions")
        ordering = ["model__name", "-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["model", "version"], name="registry_version_once"),
            models.CheckConstraint(condition=models.Q(size_bytes__gt=0), name="registry_version_not_empty"),
        ]
        indexes = [
            models.Index(fields=["tenant", "state"], name="registry_version_state"),
            models.Index(fields=["source_type", "source_id"], name="registry_version_source"),
        ]

    def __str__(self) -> str:
        return f"{self.model.name} {self.version}"

    @property
    def artifact(self) -> SealedArtifact:
        """The artifact; where it lies is never made from what a user wrote."""
        # By its bare number: the model's name would be a query for whoever only wants the file.
        version = ObjectRef(self._meta.label_lower, str(self.pk), digest=self.sha256, label=self.version)
        return SealedArtifact(self.tenant_id, self.sha256, version)

    @property
    def source(self) -> ObjectRef:
        """What the version was made from, for example a published plugin version."""
        return ObjectRef(
            type=self.source_type, id=self.source_id, digest=self.source_digest, label=self.source_label
        )


class TrainingReference(TenantModel):
    """How a version's training data was distributed: counts by bin, one profile a version. Replaced by a service alone.

    While another one is being made the present one stays in force; `revision` names the one that counts are kept for.
    """

    class State(models.TextChoices):
        BUILDING = "building", _("being made")
        READY = "ready", _("ready")
        FAILED = "failed", _("failed")

    model_version = models.OneToOneField(
        ModelVersion, on_delete=models.CASCADE, related_name="reference", verbose_name=_("model version")
    )
    state = models.CharField(_("state"), max_length=8, choices=State.choices, default=State.BUILDING)
    error = models.TextField(_("error"), blank=True)
    job_id = models.UUIDField(_("batch job"), help_text=_("Whose rows it is or was last made from."))
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    sent_at = models.DateTimeField(_("last sent"))
    revision = models.UUIDField(_("revision"), null=True, help_text=_("Empty until the first one is made."))
    profile = models.JSONField(_("profile"), default=dict, blank=True)
    row_count = models.IntegerField(_("rows"), default=0)
    source_digest = models.CharField(_("digest of the rows"), max_length=64, blank=True)
    source_label = models.CharField(_("source"), max_length=200, blank=True)
    made_at = models.DateTimeField(_("made"), null=True)

    class Meta:
        verbose_name = _("training reference")
        verbose_name_plural = _("training references")
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(state="ready") | models.Q(revision__isnull=False),
                name="registry_ready_reference_has_a_profile",
            )
        ]
        indexes = [
            models.Index(
                fields=["sent_at"],
                condition=models.Q(state="building"),
                name="registry_reference_building",
            )
        ]

    def __str__(self) -> str:
        return str(self.model_version_id)
