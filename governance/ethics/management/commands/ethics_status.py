"""`openclaw ethics status`: what waits, what ends soon, what is late."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from governance.ethics import selectors
from governance.ethics.models import Incident
from governance.tenants.context import platform_scope


class Command(BaseCommand):
    """One line per approval and incident that somebody should look at."""

    help = "Say what waits for the ethics office."

    def handle(self, *args: Any, **options: Any) -> None:
        with platform_scope(), transaction.atomic():
            for approval in selectors.queue():
                lacking = ", ".join(item.label for item in selectors.missing(approval)) or "nothing missing"
                self.stdout.write(
                    f"waiting  {approval} · {approval.get_risk_class_display()} · {lacking} · {approval.id}"
                )
            for approval in selectors.expiring():
                self.stdout.write(f"ends     {approval} · {approval.expires_at:%Y-%m-%d}")
            for incident in selectors.overdue_incidents(Incident.objects.order_by("report_due_at")):
                self.stdout.write(
                    f"late     {incident} · report was due {incident.report_due_at:%Y-%m-%d %H:%M} · {incident.id}"
                )
