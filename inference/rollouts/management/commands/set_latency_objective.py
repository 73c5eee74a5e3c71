"""`openclaw manage set_latency_objective`: how long requests of one endpoint may wait for their turn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.errors import DomainError
from governance.principals import SYSTEM
from governance.tenants.context import platform_scope, tenant_context
from inference.rollouts.models import Endpoint
from inference.rollouts.objectives import common_objective_ms, set_objective


class Command(BaseCommand):
    """Every web process of the site follows within a second."""

    help = "Set the latency objective of an endpoint in milliseconds, or take it back to the installation's."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the tenant's short name")
        parser.add_argument("--endpoint", required=True, help="the endpoint's name")
        wanted = parser.add_mutually_exclusive_group(required=True)
        wanted.add_argument("--ms", type=int, help="the objective in milliseconds")
        wanted.add_argument("--common", action="store_true", help="that of the whole installation")
        parser.add_argument("--reason", default="", help="why, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        slug, name = options["tenant"], options["endpoint"]
        with platform_scope(), transaction.atomic():
            endpoint = Endpoint.objects.filter(tenant__slug=slug, name=name).first()
        if endpoint is None:
            raise CommandError(f"There is no endpoint {name} of a tenant {slug}.")
        try:
            with tenant_context(endpoint.tenant_id):
                changed = set_objective(
                    principal=replace(SYSTEM, tenant_id=endpoint.tenant_id, platform=False),
                    endpoint_id=endpoint.id,
                    latency_objective_ms=None if options["common"] else options["ms"],
                    reason=options["reason"],
                )
        except DomainError as error:
            raise CommandError(str(error)) from error
        said = changed.latency_objective_ms or f"{common_objective_ms()} (the installation's)"
        self.stdout.write(f"Requests to {name} may wait for {said} ms.")
