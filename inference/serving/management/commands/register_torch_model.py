"""`openclaw manage register_torch_model`: serve a torch-exported program, for what ONNX cannot express."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from governance.errors import DomainError
from governance.principals import SYSTEM
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Tenant
from inference.registry.models import ModelVersion
from inference.registry.services import register_model_version
from inference.serving.runtime import LoadError
from inference.serving.torch_program import parse


class Command(BaseCommand):
    """Reads what the program takes and gives, and registers a version with that signature."""

    help = "Register a program that torch.export.save has written. It is computed in a process of its own."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the .pt2 archive")
        parser.add_argument("--tenant", required=True, help="the tenant's short name")
        parser.add_argument("--model", required=True, help="the model's name")
        parser.add_argument("--model-version", required=True, help="the version's number")
        parser.add_argument("--card", type=Path, help="the model card, a Markdown file")
        parser.add_argument(
            "--output",
            action="append",
            default=[],
            help="a name for each output in its order; without, those of the graph",
        )
        parser.add_argument(
            "--label", action="append", default=[], help="classification of the data that it may see"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            card = options["card"].read_text(encoding="utf-8") if options["card"] else ""
            program = parse(options["file"].read_bytes())
        except (LoadError, OSError, UnicodeDecodeError) as error:
            raise CommandError(str(error)) from error
        outputs = [dict(output) for output in program.outputs]
        if options["output"]:
            if len(options["output"]) != len(outputs):
                raise CommandError(f"The program has {len(outputs)} outputs; name each of them or none.")
            outputs = [
                {**output, "name": name} for output, name in zip(outputs, options["output"], strict=True)
            ]
        with platform_scope(), transaction.atomic():
            tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant {options['tenant']}.")
        try:
            with tenant_context(tenant.id):
                version = register_model_version(
                    principal=replace(SYSTEM, tenant_id=tenant.id, platform=False),
                    model_name=options["model"],
                    version=options["model_version"],
                    artifact=options["file"],
                    format=ModelVersion.Format.TORCH_EXPORT,
                    inputs=[dict(given) for given in program.inputs],
                    outputs=outputs,
                    card=card,
                    source=ObjectRef(type="registry.file", id=options["file"].name[:100]),
                    labels=options["label"] or ["internal"],
                )
        except DomainError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{options['model']} {version.version} is {version.state}: sha256 {version.sha256}")
