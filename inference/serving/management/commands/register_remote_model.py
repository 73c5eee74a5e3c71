"""`openclaw manage register_remote_model`: put a model of another inference server behind this site's rules."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.errors import DomainError
from governance.principals import SYSTEM
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Tenant
from inference.registry.services import register_remote_version
from inference.serving import residency
from inference.serving.options import ServingOptions
from inference.serving.remote import Descriptor, RemoteRuntime
from inference.serving.runtime import LoadError


class Command(BaseCommand):
    """Asks the server what the model takes and gives, and registers a version with that signature."""

    help = "Register a version that another Open Inference Protocol server computes. Its host must be in the list."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the tenant's short name")
        parser.add_argument("--model", required=True, help="the model's name here")
        parser.add_argument("--model-version", required=True, help="the version's number here")
        parser.add_argument("--url", required=True, help="https://host:port of the server")
        parser.add_argument("--remote-model", required=True, help="the model's name there")
        parser.add_argument(
            "--remote-version", default="", help="the version there; without it, what the server chooses"
        )
        parser.add_argument("--json-only", action="store_true", help="the server knows no binary tensors")
        parser.add_argument(
            "--label", action="append", default=[], help="classification of the data that it may see"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        descriptor = {
            "url": options["url"],
            "model": options["remote_model"],
            "binary": not options["json_only"],
        }
        if options["remote_version"]:
            descriptor["version"] = options["remote_version"]
        try:
            parsed = Descriptor.parse(json.dumps(descriptor).encode())
            allowed = ServingOptions.of(settings.OPENCLAW_SERVING).remote
            inputs, outputs = RemoteRuntime.describe(parsed, allowed)
        except (LoadError, ValueError) as error:
            raise CommandError(str(error)) from error
        with platform_scope(), transaction.atomic():
            tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant {options['tenant']}.")
        try:
            with tenant_context(tenant.id), transaction.atomic():
                version = register_remote_version(
                    principal=replace(SYSTEM, tenant_id=tenant.id, platform=False),
                    model_name=options["model"],
                    version=options["model_version"],
                    descriptor=descriptor,
                    inputs=inputs,
                    outputs=outputs,
                    card=f"Computed by {parsed.host}{parsed.path}.",
                    labels=options["label"] or ["internal"],
                )
                reason, _decision = residency.kept_from(
                    parsed.host, version_id=version.id, version=version.version, tenant_id=tenant.id
                )
                if reason:
                    raise CommandError(f"Not registered: {reason}")
        except DomainError as error:
            raise CommandError(str(error)) from error
        name = f"{options['model']} {version.version}"
        self.stdout.write(f"{name} is {version.state}: {parsed.host}{parsed.path}")
