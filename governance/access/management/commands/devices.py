"""`openclaw devices …`: registered devices of a tenant, at the machine itself."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.access import devices
from governance.access.decisions import require
from governance.access.models import RegisteredDevice
from governance.access.posture import present_posture
from governance.errors import DomainError
from governance.principals import SYSTEM, Device
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant


class Command(BaseCommand):
    """Acts as the system: whoever runs it has the machine. Every change is in the audit log all the same."""

    help = "Registered devices from the command line."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        listing = commands.add_parser("list")
        listing.add_argument("--tenant", required=True, help="the tenant's short name")
        listing.add_argument("--json", action="store_true")
        posture = commands.add_parser("posture")
        posture.add_argument("device", type=UUID)
        posture.add_argument("posture", choices=[known.value for known in Device])
        posture.add_argument("--source", default="command line")
        revoke = commands.add_parser("revoke")
        revoke.add_argument("device", type=UUID)
        revoke.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with platform_scope(), transaction.atomic():
                getattr(self, options["what"])(options)
        except DomainError as error:
            raise CommandError(str(error)) from error

    def list(self, options: dict[str, Any]) -> None:
        """Every device of the tenant."""
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant {options['tenant']}.")
        require(SYSTEM, "access.device.manage", tenant_id=tenant.id)
        rows = RegisteredDevice.objects.filter(tenant=tenant).select_related("user").order_by("id")
        found = [
            {
                "id": str(row.id),
                "name": row.name,
                "account": row.user.username,
                "key": row.jkt,
                "posture": "revoked" if row.revoked_at else present_posture(row).value,
                "heard": row.posture_at and row.posture_at.isoformat(timespec="seconds"),
            }
            for row in rows
        ]
        if options["json"]:
            self.stdout.write(json.dumps(found, indent=1))
            return
        for row in found:
            self.stdout.write(f"{row['id']} {row['account']}: {row['name']} ({row['posture']})")
        if not found:
            self.stdout.write("No device is registered.")

    def posture(self, options: dict[str, Any]) -> None:
        """Note what device management says."""
        device = devices.set_posture(
            principal=SYSTEM,
            device_id=options["device"],
            posture=Device(options["posture"]),
            source=options["source"],
        )
        self.stdout.write(f"{device.name}: {device.posture}")

    def revoke(self, options: dict[str, Any]) -> None:
        """Forget a device."""
        device = devices.revoke_device(
            principal=SYSTEM, device_id=options["device"], reason=options["reason"]
        )
        self.stdout.write(f"{device.name} opens nothing any more.")
