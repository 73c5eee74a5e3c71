"""`openclaw ethics act …`: what people of the ethics office, of partners and of tenants do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from governance.access.terminal import acting_as, add_person
from governance.errors import DomainError
from governance.ethics import incidents, services
from governance.ethics.models import Evidence, Incident
from governance.principals import Principal
from governance.refs import ObjectRef


class Command(BaseCommand):
    """Each step asks for the password of the person who takes it; nobody decides on a request of their own."""

    help = "Decide on an approval, supply evidence, and keep the incident register."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        decide = commands.add_parser("decide", help="approve, under conditions if need be, or refuse")
        decide.add_argument("approval", type=UUID)
        decide.add_argument("verdict", choices=["approve", "refuse"])
        decide.add_argument("--reason", required=True)
        decide.add_argument(
            "--condition",
            action="append",
            default=[],
            help='JSON, e.g. {"kind": "until", "value": "2027-01-31"}',
        )
        decide.add_argument("--days", type=int, help="how long it holds")
        evidence = commands.add_parser("evidence", help="add a document to an open request")
        evidence.add_argument("approval", type=UUID)
        evidence.add_argument("kind", choices=Evidence.Kind.values)
        evidence.add_argument("file", type=Path)
        renew = commands.add_parser("renew", help="ask again for the same bytes, before an approval ends")
        renew.add_argument("approval", type=UUID)
        entered = commands.add_parser("incident", help="enter an incident")
        entered.add_argument("type", help="what it is about, e.g. rollouts.endpoint")
        entered.add_argument("id")
        entered.add_argument("--title", required=True)
        entered.add_argument("--description", required=True)
        entered.add_argument("--severity", choices=Incident.Severity.values, required=True)
        investigate = commands.add_parser("investigate", help="begin the investigation of an incident")
        report = commands.add_parser("report", help="note to whom an incident was reported")
        report.add_argument("--to", required=True)
        close = commands.add_parser("close", help="end an incident with the corrective action")
        close.add_argument("--action", required=True)
        for step in (investigate, report, close):
            step.add_argument("incident", type=UUID)
        for judged in (entered, investigate):
            judged.add_argument("--serious", choices=Incident.Serious.values)
        for step in commands.choices.values():
            add_person(step)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with acting_as(options["user"], options["tenant"]) as principal:
                getattr(self, options["what"])(principal, options)
        except DomainError as error:
            for fault in error.errors:
                self.stderr.write(f"{fault['pointer']}: {fault['detail']}")
            raise CommandError(str(error)) from error

    def decide(self, principal: Principal, options: dict[str, Any]) -> None:
        """Decide on one request."""
        try:
            conditions = [json.loads(text) for text in options["condition"]]
        except ValueError as error:
            raise CommandError(f"A condition is JSON: {error}") from error
        approval = services.decide_approval(
            principal=principal,
            approval_id=options["approval"],
            approve=options["verdict"] == "approve",
            reason=options["reason"],
            conditions=conditions,
            valid_days=options["days"],
        )
        self.stdout.write(f"{approval}  {approval.get_state_display()}")

    def evidence(self, principal: Principal, options: dict[str, Any]) -> None:
        """Supply one document."""
        try:
            document = options["file"].read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"The file cannot be read as text in UTF-8: {error}") from error
        row = services.supply_evidence(
            principal=principal, approval_id=options["approval"], kind=options["kind"], document=document
        )
        self.stdout.write(f"accepted, sha256 {row.digest}")

    def renew(self, principal: Principal, options: dict[str, Any]) -> None:
        """Ask for another term."""
        made = services.renew_approval(principal=principal, approval_id=options["approval"])
        self.stdout.write(f"{made.id}  {made}  {made.get_state_display()}")

    def incident(self, principal: Principal, options: dict[str, Any]) -> None:
        """Enter one."""
        if principal.tenant_id is None:
            raise CommandError("An incident belongs to a tenant.")
        made = incidents.open_incident(
            principal=principal,
            subject=ObjectRef(options["type"], options["id"]),
            title=options["title"],
            description=options["description"],
            severity=options["severity"],
            serious=options["serious"] or Incident.Serious.NO,
            tenant_id=principal.tenant_id,
        )
        self._say(made)

    def investigate(self, principal: Principal, options: dict[str, Any]) -> None:
        """Begin its investigation."""
        self._say(
            incidents.investigate(
                principal=principal, incident_id=options["incident"], serious=options["serious"]
            )
        )

    def report(self, principal: Principal, options: dict[str, Any]) -> None:
        """Note that it was reported."""
        self._say(
            incidents.report(principal=principal, incident_id=options["incident"], reported_to=options["to"])
        )

    def close(self, principal: Principal, options: dict[str, Any]) -> None:
        """End it."""
        self._say(
            incidents.close(
                principal=principal, incident_id=options["incident"], corrective_action=options["action"]
            )
        )

    def _say(self, incident: Incident) -> None:
        self.stdout.write(f"{incident.id}  {incident}  {incident.get_state_display()}")
