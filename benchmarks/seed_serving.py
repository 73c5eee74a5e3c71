"""What the measurement needs on a fresh site: a tenant, both models behind endpoints, and a client that may call them.

Runs in a process with the site's own environment: `python -m benchmarks.seed_serving FOLDER`. Prints the client's id
and secret as one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import django
from django.db import transaction

django.setup()

from benchmarks import graphs
from governance.access.principals import principal_for_user
from governance.access.services import create_application
from governance.principals import Factor, Signals
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Tenant, User
from inference.registry.services import register_model_version
from inference.rollouts.services import create_endpoint, grant_invoke
from openclaw_site.demo import accounts


def main(folder: Path) -> None:
    """Seed the site whose environment this process has."""
    accounts.seed()
    with platform_scope(), transaction.atomic():
        tenant = Tenant.objects.get(slug=accounts.COMPANY)
        admin = User.objects.get(username="tenant-admin")
    principal = principal_for_user(admin, tenant_id=tenant.id, signals=Signals(Factor.PASSKEY, time.time()))
    with tenant_context(tenant.id), transaction.atomic():
        client = create_application(principal=principal, name="benchmark", scopes=["models:infer"])
        for model in graphs.make(folder):
            version = register_model_version(
                principal=principal,
                model_name=model.name,
                version="1.0.0",
                artifact=model.artifact,
                format="onnx",
                inputs=model.inputs,
                outputs=model.outputs,
                card="A model with random weights, for measuring.",
                source=ObjectRef(type="benchmarks.serving", id=model.name),
                labels=["public"],
            )
            endpoint = create_endpoint(principal=principal, name=model.name, model_version_id=version.id)
            grant_invoke(principal=principal, endpoint_id=endpoint.id, application_id=client.application.id)
    print(json.dumps({"client_id": client.application.client_id, "client_secret": client.client_secret}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
