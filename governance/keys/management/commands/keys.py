"""`openclaw keys …`: the state of keys, rotation, re-encryption and destruction at the machine itself."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.access.terminal import person_at_terminal
from governance.errors import DomainError, NotFound
from governance.keys import selectors, services
from governance.keys.models import Destruction, ReEncryption
from governance.principals import SYSTEM
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant


class Command(BaseCommand):
    """Acts as the system, for whoever runs it has the machine. Destroying needs two people with their passwords."""

    help = "The state of keys, rotation, re-encryption and destruction."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        status = commands.add_parser("status")
        status.add_argument("--json", action="store_true")
        rotate = commands.add_parser("rotate")
        rotate.add_argument("--tenant", required=True)
        rotate.add_argument(
            "--purpose", default="", help="a new data key of this purpose, not a wrapping key"
        )
        rotate.add_argument("--reason", default="")
        re_encrypt = commands.add_parser("re-encrypt")
        re_encrypt.add_argument("--tenant", required=True)
        re_encrypt.add_argument("--purpose", default="")
        cancel = commands.add_parser("cancel-re-encryption")
        cancel.add_argument("--tenant", required=True)
        destroy = commands.add_parser("destroy")
        destroy.add_argument("--tenant", required=True)
        destroy.add_argument(
            "--as", dest="user", required=True, help="who asks or confirms; a password is read"
        )
        destroy.add_argument("--reason", default="")
        destroy.add_argument("--confirm", action="store_true")
        destroy.add_argument("--withdraw", action="store_true")
        commands.add_parser("check")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with platform_scope():
                getattr(self, "_" + options["what"].replace("-", "_"))(options)
        except DomainError as error:
            raise CommandError(str(error)) from error

    def _status(self, options: dict[str, Any]) -> None:
        state = selectors.provider_state()
        with transaction.atomic():
            with_keys = selectors.overview()
        if options["json"]:
            rows = [
                {
                    "tenant": row.tenant.slug,
                    "wrapping_key": row.active.number if row.active else None,
                    "data_keys": row.data_keys,
                    "re_encryption_percent": row.job.percent if row.job else None,
                    "destruction_requested": row.destruction is not None,
                }
                for row in with_keys
            ]
            self.stdout.write(json.dumps({"provider": asdict(state), "tenants": rows}, indent=1))
            return
        self.stdout.write(f"{state.label}: {'answers' if state.ok else state.detail}")
        for warning in state.warnings:
            self.stdout.write(f"  warning: {warning}")
        for row in with_keys:
            wrapping = f"wrapping key {row.active.number}" if row.active else "no wrapping key"
            self.stdout.write(f"{row.tenant.slug}: {wrapping}, {row.data_keys} data keys")

    def _check(self, options: dict[str, Any]) -> None:
        with transaction.atomic():
            found = selectors.problems()
        for problem in found:
            self.stdout.write(problem)
        if not selectors.provider_state().ok:
            raise CommandError("The keys are out of reach.")
        if not found:
            self.stdout.write("Keys are in order.")

    def _rotate(self, options: dict[str, Any]) -> None:
        tenant = self._tenant(options)
        common = {"principal": SYSTEM, "tenant_id": tenant.id, "reason": options["reason"]}
        if options["purpose"]:
            key = services.rotate_data_key(purpose=options["purpose"], **common)
            self.stdout.write(f"{tenant.slug}: data key {key.number} of {key.purpose} seals from now on")
            return
        new = services.rotate_wrapping_key(**common)
        count = services.rewrap(tenant.id)
        self.stdout.write(
            f"{tenant.slug}: wrapping key {new.number} ({new.provider}), {count} data keys wrapped"
        )

    def _re_encrypt(self, options: dict[str, Any]) -> None:
        tenant = self._tenant(options)
        job = services.re_encrypt(principal=SYSTEM, tenant_id=tenant.id, purpose=options["purpose"])
        time.sleep(services.HEARD_S)
        while job.finished_at is None:
            # A worker may be at the same job; whoever holds it works, the other one waits.
            if not services.step(job.id, tenant.id):
                time.sleep(0.2)
            with transaction.atomic():
                job.refresh_from_db()
            self.stdout.write(f"{job.seen} of {job.total}, {job.rewritten} written anew")
            if job.waits_for:
                raise CommandError(f"{job.waits_for} The workers go on by themselves once that is over.")
        self.stdout.write(str(job.get_state_display()))
        for problem in job.problems:
            self.stdout.write(f"  {problem['collection']} {problem['object']}: {problem['code']}")

    def _cancel_re_encryption(self, options: dict[str, Any]) -> None:
        tenant = self._tenant(options)
        with transaction.atomic():
            job = ReEncryption.objects.filter(tenant=tenant, finished_at=None).first()
        if job is None:
            raise NotFound(f"Nothing of “{tenant.slug}” is being written anew.")
        services.cancel_re_encryption(principal=SYSTEM, job_id=job.id)
        self.stdout.write("It stops after the present step; what is written anew stays so.")

    def _destroy(self, options: dict[str, Any]) -> None:
        tenant = self._tenant(options)
        principal = person_at_terminal(options["user"], tenant)
        if not options["confirm"] and not options["withdraw"]:
            asked = services.request_destruction(
                principal=principal, tenant_id=tenant.id, reason=options["reason"]
            )
            self.stdout.write(f"Asked for. A second person confirms it with --confirm. ({asked.id})")
            return
        open_request = self._open_request(tenant)
        if options["withdraw"]:
            services.withdraw_destruction(principal=principal, destruction_id=open_request)
            self.stdout.write("Withdrawn. The keys stay.")
            return
        services.confirm_destruction(principal=principal, destruction_id=open_request)
        count = services.erase_destroyed()
        self.stdout.write(
            f"Destroyed; {count} wrapping keys are erased. What they sealed can never be read again."
        )

    def _tenant(self, options: dict[str, Any]) -> Tenant:
        with transaction.atomic():
            found = Tenant.objects.filter(slug=options["tenant"]).first()
        if found is None:
            raise NotFound(f"There is no tenant “{options['tenant']}”.")
        return found

    def _open_request(self, tenant: Tenant) -> UUID:
        rows = Destruction.objects.filter(tenant=tenant, state=Destruction.State.REQUESTED)
        with transaction.atomic():
            found = rows.first()
        if found is None:
            raise NotFound(f"Nobody asked to destroy the keys of “{tenant.slug}”.")
        return found.id
