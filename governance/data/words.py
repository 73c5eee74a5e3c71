"""The catalogue's words for people."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

SUBJECT_NAMES = (
    ("personal", _("personal data")),
    ("health", _("health data")),
    ("payment", _("payment data")),
)
LABEL_TONES = {"public": "good", "internal": "info", "confidential": "warn", "restricted": "bad"}
KIND_NAMES = {
    "data.dataset": _("dataset"),
    "registry.modelversion": _("model version"),
    "rollouts.endpoint": _("endpoint"),
    "serving.batchinput": _("batch input"),
    "serving.batchjob": _("batch result"),
    "catalog.pluginversion": _("plugin version"),
    "ethics.approval": _("ethics approval"),
    "audit.log": _("audit log"),
    "oversight.oversighttask": _("oversight task"),
    "tenants.user": _("account"),
    "identity.usersessions": _("sessions"),
}
