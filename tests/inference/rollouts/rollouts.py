"""Rollouts under test: a plan, time that passes, and what people do."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import F

from governance.tenants.context import platform_scope, tenant_context
from inference.rollouts import controller, rollout_services
from inference.rollouts.models import Rollout, RolloutLook

PLAN = {
    "steps": [{"percent": 20, "min_s": 10, "max_s": 3600}, {"percent": 50, "min_s": 10, "max_s": 3600}],
    "guardrails": [
        {"metric": "error_rate", "tolerance": 0.05, "min_samples": 50},
        {"metric": "p99", "tolerance": 0.05, "min_samples": 50},
    ],
    "look_every_s": 1,
}


def age(rollout, seconds=30):
    """As if the step had begun so much earlier and the next look were due."""
    with platform_scope(), transaction.atomic():
        back = timedelta(seconds=seconds)
        Rollout.objects.filter(pk=rollout.pk).update(
            step_started_at=F("step_started_at") - back, looked_at=None
        )


def look(rollout, seconds=30):
    """Time passes, and the controller comes by; the rollout as it is then, and the newest look."""
    age(rollout, seconds)
    controller.control_rollouts()
    with platform_scope(), transaction.atomic():
        return Rollout.objects.get(pk=rollout.pk), RolloutLook.objects.filter(rollout=rollout).first()


def by(admin, service, rollout, **more):
    with tenant_context(admin.tenant_id):
        return getattr(rollout_services, service)(principal=admin, rollout_id=rollout.id, **more)
