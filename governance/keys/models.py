"""The key hierarchy: a tenant's wrapping keys, which stay with their provider, and the data keys they wrap."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from governance.tenants.models import TenantModel


class KeyState(models.TextChoices):
    ACTIVE = "active", _("in use")
    RETIRED = "retired", _("only for reading")
    DESTROYED = "destroyed", _("destroyed")


class WrappingKey(TenantModel):
    """A key that never leaves its provider; here is only its name there."""

    State = KeyState

    number = models.PositiveIntegerField(_("number"))
    provider = models.CharField(_("provider"), max_length=20)
    reference = models.CharField(
        _("reference"), max_length=100, help_text=_("The name of the key at its provider.")
    )
    state = models.CharField(_("state"), max_length=10, choices=KeyState.choices, default=KeyState.ACTIVE)
    uses = models.PositiveBigIntegerField(_("data keys wrapped"), default=0)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    retired_at = models.DateTimeField(_("retired"), null=True, blank=True)
    destroyed_at = models.DateTimeField(_("destroyed"), null=True, blank=True)
    destroyed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("destroyed by"),
    )
    erased_at = models.DateTimeField(
        _("erased"), null=True, blank=True, help_text=_("When its provider had erased it for good.")
    )

    class Meta:
        verbose_name = _("wrapping key")
        verbose_name_plural = _("wrapping keys")
        ordering = ["tenant", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "number"], name="keys_wrapping_number_once"),
            models.UniqueConstraint(
                fields=["tenant"], condition=Q(state="active"), name="keys_one_active_wrapping_key"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant} · {self.number}"


class DataKey(TenantModel):
    """An AES-256 key for one purpose of one tenant, kept wrapped. Destroyed means that even that is erased."""

    State = KeyState

    purpose = models.CharField(_("purpose"), max_length=60)
    number = models.PositiveIntegerField(_("number"))
    wrapping_key = models.ForeignKey(
        WrappingKey, on_delete=models.PROTECT, related_name="data_keys", verbose_name=_("wrapping key")
    )
    wrapped = models.BinaryField(_("wrapped key"), max_length=200)
    state = models.CharField(_("state"), max_length=10, choices=KeyState.choices, default=KeyState.ACTIVE)
    uses = models.PositiveBigIntegerField(
        _("times sealed with"), default=0, help_text=_("Written behind the work, so it lags a little.")
    )
    sealed_bytes = models.PositiveBigIntegerField(_("bytes sealed"), default=0)
    problem = models.CharField(
        _("problem"),
        max_length=60,
        blank=True,
        help_text=_("Why it could not be unwrapped when it was last to be wrapped anew; a code."),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    retired_at = models.DateTimeField(_("retired"), null=True, blank=True)
    destroyed_at = models.DateTimeField(_("destroyed"), null=True, blank=True)

    class Meta:
        verbose_name = _("data key")
        verbose_name_plural = _("data keys")
        ordering = ["tenant", "purpose", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "purpose", "number"], name="keys_data_number_once"),
            models.UniqueConstraint(
                fields=["tenant", "purpose"], condition=Q(state="active"), name="keys_one_active_data_key"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} · {self.number}"


class ReEncryption(TenantModel):
    """A walk over everything of a tenant that is sealed with retired data keys, writing it anew with the active ones.

    `position` holds, per collection, the last object that is done, so that a worker that dies costs nothing.
    """

    class State(models.TextChoices):
        QUEUED = "queued", _("waiting")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        CANCELLED = "cancelled", _("cancelled")

    purpose = models.CharField(_("purpose"), max_length=60, blank=True, help_text=_("Empty: every purpose."))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.QUEUED)
    position = models.JSONField(_("position"), default=dict)
    total = models.PositiveBigIntegerField(_("objects"), default=0)
    seen = models.PositiveBigIntegerField(_("looked at"), default=0)
    rewritten = models.PositiveBigIntegerField(_("written anew"), default=0)
    problems = models.JSONField(
        _("problems"), default=list, help_text=_("Objects that could not be opened, the first hundred.")
    )
    waits_for = models.CharField(
        _("waits for"),
        max_length=300,
        blank=True,
        help_text=_("What its last step could not reach; it goes on by itself once that is back."),
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("requested by"),
    )
    requested_at = models.DateTimeField(_("requested"), auto_now_add=True)
    touched_at = models.DateTimeField(_("last step"), auto_now_add=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    class Meta:
        verbose_name = _("re-encryption")
        verbose_name_plural = _("re-encryptions")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"],
                condition=Q(state__in=["queued", "running"]),
                name="keys_one_re_encryption_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"{self.tenant} · {self.get_state_display()}"

    @property
    def percent(self) -> int:
        """How far it is; 100 only when it is done."""
        if self.state == self.State.DONE:
            return 100
        return min(99, 100 * self.seen // self.total) if self.total else 0


class Destruction(TenantModel):
    """A request to destroy all keys of a tenant, which a second person confirms or withdraws."""

    class State(models.TextChoices):
        REQUESTED = "requested", _("waiting for a second person")
        CONFIRMED = "confirmed", _("destroyed")
        WITHDRAWN = "withdrawn", _("withdrawn")

    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.REQUESTED)
    reason = models.TextField(_("reason"))
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

    class Meta:
        verbose_name = _("key destruction")
        verbose_name_plural = _("key destructions")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"], condition=Q(state="requested"), name="keys_one_open_destruction"
            ),
            models.CheckConstraint(
                condition=~Q(state="confirmed")
                | (Q(decided_by__isnull=False) & ~Q(decided_by=F("requested_by"))),
                name="keys_requester_does_not_confirm",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant} · {self.get_state_display()}"
