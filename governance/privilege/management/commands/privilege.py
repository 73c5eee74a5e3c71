"""`openclaw privilege …`: who has what in a tenant, and what nobody used, at the machine itself."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.access.decisions import require
from governance.access.terminal import person_at_terminal
from governance.errors import DomainError
from governance.principals import SYSTEM, Principal, Role
from governance.privilege import removing, selectors, services
from governance.privilege.models import BreakGlassHolder, RightKind
from governance.privilege.things import find_thing
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant, User

LISTED = 200
BOUNDS = ("unused_after_days", "max_elevation_minutes", "break_glass_minutes")
ROLES = sorted(role.value for role in Role if role not in (Role.SYSTEM, Role.SERVICE))


class Command(BaseCommand):
    """Acts as the system: whoever runs it has the machine. Every change is in the audit log all the same.

    An elevation is between people, so its steps need their passwords. Breaking the glass needs a code as well, and is a
    command of its own (`openclaw break-glass`).
    """

    help = "Access review, unused rights and emergency access from the command line."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        for name in ("review", "unused", "alarms"):
            listing = commands.add_parser(name)
            listing.add_argument("--tenant", required=name != "alarms", help="the tenant's short name")
            listing.add_argument("--json", action="store_true")
            if name == "review":
                listing.add_argument(
                    "--thing", default="", help="who may use it, such as rollouts.endpoint:ID"
                )
        remove = commands.add_parser("remove")
        remove.add_argument("account")
        remove.add_argument("right", help="a role, or a permission such as rollouts.invoke_endpoint")
        remove.add_argument("--object", default="", help="the object's id, for a permission")
        remove.add_argument("--tenant", required=True)
        remove.add_argument("--reason", required=True)
        keep = commands.add_parser(
            "keep", help="keep an unused right; it is watched anew for the tenant's time"
        )
        keep.add_argument("proposal", type=UUID, help="an id that `unused` lists")
        keep.add_argument("--reason", required=True)
        bounds = commands.add_parser("bounds", help="show or set a tenant's bounds")
        for name in BOUNDS:
            bounds.add_argument("--" + name.replace("_", "-"), type=int)
        commands.add_parser("holders", help="who may break the glass")
        for name in ("name-holder", "remove-holder"):
            holder = commands.add_parser(name)
            holder.add_argument("account")
            holder.add_argument("role", choices=ROLES)
        for name in ("bounds", "holders", "name-holder", "remove-holder"):
            commands.choices[name].add_argument("--tenant", required=True)
        for name in ("bounds", "name-holder", "remove-holder"):
            needed = name != "bounds"  # showing them needs nobody
            commands.choices[name].add_argument(
                "--as", dest="user", required=needed, help="who does it; a password is read"
            )
        elevations = commands.add_parser("elevations")
        elevations.add_argument("--tenant", required=True)
        elevations.add_argument("--json", action="store_true")
        request = commands.add_parser("request")
        request.add_argument("role", choices=ROLES)
        request.add_argument("--minutes", type=int, required=True)
        request.add_argument("--reason", required=True)
        for name in ("approve", "refuse", "withdraw", "review-glass"):
            step = commands.add_parser(name)
            step.add_argument("elevation", help="the id of an elevation")
            if name != "withdraw":
                step.add_argument("--reason", required=True, help="for a review: what was found")
        for name in ("request", "approve", "refuse", "withdraw", "review-glass"):
            step = commands.choices[name]
            step.add_argument("--tenant", required=True)
            step.add_argument("--as", dest="user", required=True, help="who does it; a password is read")
        end = commands.add_parser("end")
        end.add_argument("elevation", help="the id of an elevation that is in force")
        end.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with platform_scope(), transaction.atomic():
                getattr(self, options["what"].replace("-", "_"))(options)
        except DomainError as error:
            raise CommandError(str(error)) from error

    def review(self, options: dict[str, Any]) -> None:
        """Every right with its use."""
        tenant = self._tenant(options)
        require(SYSTEM, "privilege.right.view", tenant_id=tenant.id)
        thing = find_thing(tenant.id, options["thing"]) if options["thing"] else None
        rows = selectors.rights(tenant.id, thing=thing)
        if options["json"]:
            plain = [asdict(row) | {"account": row.account.username} for row in rows]
            self.stdout.write(json.dumps(plain, default=str, indent=1))
            return
        for row in rows:
            used = (
                f"{row.count} times, last {row.last_used_at:%Y-%m-%d %H:%M}"
                if row.last_used_at
                else "never used"
            )
            where = f" on {row.object_label or row.object_id}" if row.object_id else ""
            self.stdout.write(f"{row.account.username}: {row.name}{where} ({used})")

    def unused(self, options: dict[str, Any]) -> None:
        """What is proposed for removal."""
        tenant = self._tenant(options)
        require(SYSTEM, "privilege.right.view", tenant_id=tenant.id)
        rows = list(selectors.open_proposals(tenant.id))
        if options["json"]:
            fields = ("id", "name", "object_id", "object_label", "unused_since")
            plain = [{"account": r.account.username} | {f: getattr(r, f) for f in fields} for r in rows]
            self.stdout.write(json.dumps(plain, default=str, indent=1))
            return
        for row in rows:
            thing = f" on {row.object_label or row.object_id}" if row.object_id else ""
            self.stdout.write(
                f"{row.id} {row.account.username}: {row.name}{thing}, unused since {row.unused_since:%Y-%m-%d}"
            )
        if not rows:
            self.stdout.write("Every right is in use, or not yet watched for long enough.")

    def alarms(self, options: dict[str, Any]) -> None:
        """Emergency access in force, or not yet reviewed."""
        require(SYSTEM, "privilege.right.view")
        rows = list(selectors.glass_alarms(tenant_id=self._tenant(options).id if options["tenant"] else None))
        if options["json"]:
            plain = [
                {
                    "id": row.id,
                    "tenant": row.tenant.slug,
                    "person": row.person.username,
                    "role": row.role,
                    "state": row.state,
                    "ends_at": row.ends_at,
                    "reason": row.reason,
                }
                for row in rows
            ]
            self.stdout.write(json.dumps(plain, default=str, indent=1))
            return
        for row in rows:
            self.stdout.write(
                f"{row.id} {row.tenant.slug}: {row.person.username} as {row.role}, {row.state}: {row.reason}"
            )
        if not rows:
            self.stdout.write("No emergency access is in force or waits for a review.")

    def keep(self, options: dict[str, Any]) -> None:
        """Keep a right that is proposed for removal."""
        removing.decide_proposal(
            principal=SYSTEM, proposal_id=options["proposal"], remove=False, reason=options["reason"]
        )
        self.stdout.write("Kept.")

    def bounds(self, options: dict[str, Any]) -> None:
        """A tenant's bounds."""
        tenant = self._tenant(options)
        require(SYSTEM, "privilege.right.view", tenant_id=tenant.id)
        row = selectors.settings_of(tenant.id)
        given = {name: options[name] for name in BOUNDS if options[name] is not None}
        if given:
            if not options["user"]:
                raise CommandError("Say who sets them: --as with the person's name.")
            wanted = {name: getattr(row, name) for name in BOUNDS} | given
            try:
                row = services.save_settings(principal=self._person(options), tenant_id=tenant.id, **wanted)
            except ValidationError as error:
                raise CommandError(" ".join(error.messages)) from error
        for name in BOUNDS:
            self.stdout.write(f"{name.replace('_', ' ')}: {getattr(row, name)}")

    def holders(self, options: dict[str, Any]) -> None:
        """Who may break the glass."""
        tenant = self._tenant(options)
        require(SYSTEM, "privilege.right.view", tenant_id=tenant.id)
        rows = BreakGlassHolder.objects.filter(tenant=tenant).select_related("person")
        for row in rows.order_by("person__username", "role"):
            self.stdout.write(f"{row.person.username} as {row.role}")

    def name_holder(self, options: dict[str, Any]) -> None:
        """Name somebody for emergency access."""
        services.name_holder(
            principal=self._person(options),
            tenant_id=self._tenant(options).id,
            person_id=self._account(options).pk,
            role=Role(options["role"]),
        )
        self.stdout.write("Named; everybody is alarmed when they break the glass.")

    def remove_holder(self, options: dict[str, Any]) -> None:
        """Name them no more."""
        tenant, account = self._tenant(options), self._account(options)
        found = BreakGlassHolder.objects.filter(tenant=tenant, person=account, role=options["role"]).first()
        if found is None:
            raise CommandError(f"{account.username} is not named as {options['role']} in {tenant.slug}.")
        services.remove_holder(principal=self._person(options), holder_id=found.pk)
        self.stdout.write("Not named any more.")

    def remove(self, options: dict[str, Any]) -> None:
        """Take one right away."""
        tenant = self._tenant(options)
        account = self._account(options)
        removing.remove_right(
            principal=SYSTEM,
            tenant_id=tenant.id,
            account_id=account.id,
            kind=RightKind.ROLE if options["right"] in set(Role) else RightKind.GRANT,
            name=options["right"],
            object_id=options["object"],
            reason=options["reason"],
        )
        self.stdout.write("Removed.")

    def elevations(self, options: dict[str, Any]) -> None:
        """Elevations, the newest first."""
        tenant = self._tenant(options)
        require(SYSTEM, "privilege.right.view", tenant_id=tenant.id)
        rows = list(selectors.elevations(tenant_id=tenant.id)[:LISTED])
        if options["json"]:
            fields = ("id", "role", "state", "minutes", "break_glass", "reason", "ends_at", "reviewed_at")
            plain = [{"person": r.person.username} | {f: getattr(r, f) for f in fields} for r in rows]
            self.stdout.write(json.dumps(plain, default=str, indent=1))
            return
        for row in rows:
            kind = ", break-glass" if row.break_glass else ""
            self.stdout.write(
                f"{row.id} {row.person.username} as {row.role} for {row.minutes} minutes, "
                f"{row.state}{kind}: {row.reason}"
            )

    def request(self, options: dict[str, Any]) -> None:
        """Ask for a role for a while."""
        made = services.request_elevation(
            principal=self._person(options),
            role=Role(options["role"]),
            minutes=options["minutes"],
            reason=options["reason"],
        )
        self.stdout.write(f"Asked for. Somebody else approves: openclaw privilege approve {made.pk}")

    def approve(self, options: dict[str, Any]) -> None:
        """Approve somebody else's request; it begins at once."""
        self._decide(options, approve=True)
        self.stdout.write("Approved; it has begun.")

    def refuse(self, options: dict[str, Any]) -> None:
        """Refuse somebody else's request."""
        self._decide(options, approve=False)
        self.stdout.write("Refused.")

    def withdraw(self, options: dict[str, Any]) -> None:
        """Take back a request of one's own."""
        services.withdraw_elevation(principal=self._person(options), elevation_id=self._id(options))
        self.stdout.write("Withdrawn.")

    def review_glass(self, options: dict[str, Any]) -> None:
        """Say what was found about somebody else's emergency access that is over; it closes the alarm."""
        services.review_break_glass(
            principal=self._person(options), elevation_id=self._id(options), review=options["reason"]
        )
        self.stdout.write("Reviewed; the alarm is closed.")

    def end(self, options: dict[str, Any]) -> None:
        """End an elevation now."""
        services.end_elevation(principal=SYSTEM, elevation_id=self._id(options), reason=options["reason"])
        self.stdout.write("It is over.")

    def _decide(self, options: dict[str, Any], *, approve: bool) -> None:
        services.decide_elevation(
            principal=self._person(options),
            elevation_id=self._id(options),
            approve=approve,
            reason=options["reason"],
        )

    def _person(self, options: dict[str, Any]) -> Principal:
        return person_at_terminal(options["user"], self._tenant(options))

    @staticmethod
    def _account(options: dict[str, Any]) -> User:
        account = User.objects.filter(username=options["account"]).first()
        if account is None:
            raise CommandError(f"There is no account {options['account']}.")
        return account

    @staticmethod
    def _id(options: dict[str, Any]) -> UUID:
        try:
            return UUID(options["elevation"])
        except ValueError as error:
            raise CommandError(f"“{options['elevation']}” is no id of an elevation.") from error

    def _tenant(self, options: dict[str, Any]) -> Tenant:
        found = Tenant.objects.filter(slug=options["tenant"]).first()
        if found is None:
            raise CommandError(f"There is no tenant {options['tenant']}.")
        return found
