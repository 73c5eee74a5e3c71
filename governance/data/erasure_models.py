"""Erasures, and the places that each has to handle."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from governance.tenants.models import TenantModel


class Erasure(TenantModel):
    """A request to erase something everywhere: an asset with all that came of it, or what is kept about a person."""

    class Kind(models.TextChoices):
        ASSET = "asset", _("an asset and what came of it")
        SUBJECT = "subject", _("a person or other data subject")

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        DONE = "done", _("done")
        INCOMPLETE = "incomplete", _("some places need a person")
        CANCELLED = "cancelled", _("cancelled")

    kind = models.CharField(_("what"), max_length=8, choices=Kind.choices)
    reference = models.CharField(
        _("reference"),
        max_length=200,
        help_text=_("The asset's id, or the key by which the person is known."),
    )
    reason = models.TextField(_("reason"))
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.QUEUED)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("requested by"),
    )
    requested_by_label = models.CharField(_("requested by"), max_length=200)
    requested_at = models.DateTimeField(_("requested"), auto_now_add=True)
    planned_at = models.DateTimeField(_("places found"), null=True)
    finished_at = models.DateTimeField(_("finished"), null=True)
    lease_until = models.DateTimeField(_("leased until"), null=True)
    lease_token = models.UUIDField(
        _("lease"), null=True, help_text=_("Of the worker that is at it; a second one leaves it alone.")
    )
    receipt = models.JSONField(_("receipt"), null=True)
    receipt_digest = models.CharField(_("digest of the receipt"), max_length=64, blank=True)
    signature = models.JSONField(_("signature"), null=True)

    class Meta:
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["lease_until"], condition=Q(state__in=["queued", "running"]), name="data_erasure_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.reference}"


class ErasurePlace(TenantModel):
    """One place that an erasure found, and what became of it."""

    class Outcome(models.TextChoices):
        FOUND = "found", _("found")
        ERASED = "erased", _("erased")
        KEY_DESTROYED = "key_destroyed", _("key destroyed")
        NOTHING = "nothing", _("holds no data itself")
        MUST_RETRAIN = "must_retrain", _("must be retrained")
        RETAINED = "retained", _("kept by legal duty")
        BY_HAND = "by_hand", _("needs a person")
        DONE_BY_HAND = "done_by_hand", _("done by hand")

    erasure = models.ForeignKey(
        Erasure, on_delete=models.CASCADE, related_name="places", verbose_name=_("erasure")
    )
    type = models.CharField(_("kind"), max_length=100)
    object_id = models.CharField(_("object id"), max_length=200)
    digest = models.CharField(_("digest"), max_length=64, blank=True)
    name = models.CharField(_("name"), max_length=200)
    depth = models.PositiveSmallIntegerField(_("steps from the source"), default=0)
    outcome = models.CharField(_("outcome"), max_length=14, choices=Outcome.choices, default=Outcome.FOUND)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    at = models.DateTimeField(_("time"), null=True)
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("done by"),
        help_text=_("Who erased it by hand and says so."),
    )
    confirmed_by_label = models.CharField(_("done by"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("place")
        verbose_name_plural = _("places")
        ordering = ["depth", "id"]
        constraints = [
            models.UniqueConstraint(fields=["erasure", "type", "object_id"], name="data_erasure_place_once")
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.outcome}"
