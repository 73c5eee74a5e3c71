"""What row-level security costs on the main lists: the same requests with it on and off, turn by turn.

The owner of the tables switches it off and on again between rounds; the site's own role cannot.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from benchmarks import graphs
from benchmarks.access import world
from benchmarks.access.measuring import row

WORLD = world.make()

from django.db import connection, transaction
from django.test import Client

from governance.access.signals import remember_factor
from governance.audit.services import record
from governance.principals import Factor
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context
from inference.registry.services import register_model_version
from inference.rollouts.services import create_endpoint

ROUNDS = 5
TIMES = 20
LISTS = (
    "/api/v1/endpoints/",
    "/api/v1/model-versions/",
    "/api/v1/audit-entries/",
    "/console/endpoints/",
    "/console/audit/auditentry/",
)


def fill() -> None:
    """Thirty endpoints and a thousand audit entries of one organisation."""
    with TemporaryDirectory() as folder, tenant_context(WORLD.tenant.id), transaction.atomic():
        model = next(iter(graphs.make(Path(folder))))
        for number in range(30):
            version = register_model_version(
                principal=WORLD.principal,
                model_name=f"model-{number}",
                version="1.0.0",
                artifact=model.artifact,
                format="onnx",
                inputs=model.inputs,
                outputs=model.outputs,
                card="A model with random weights, for measuring.",
                source=ObjectRef(type="benchmarks.access", id=str(number)),
                labels=["public"],
            )
            create_endpoint(principal=WORLD.principal, name=f"endpoint-{number}", model_version_id=version.id)
        for _ in range(1_000):
            record(principal=WORLD.principal, action="access.application.create")


def switch(on: bool) -> None:
    """Row-level security of every table, on or off."""
    with psycopg.connect(os.environ["OPENCLAW_BENCH_OWNER_URL"], autocommit=True) as owner:
        tables = owner.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') AND relforcerowsecurity"
            if not on
            else "SELECT name FROM openclaw_bench_tables"
        ).fetchall()
        if not on:
            owner.execute("DROP TABLE IF EXISTS openclaw_bench_tables")
            owner.execute("CREATE TABLE openclaw_bench_tables (name text)")
        for (table,) in tables:
            verb = "ENABLE" if on else "DISABLE"
            force = "FORCE" if on else "NO FORCE"
            owner.execute(f"ALTER TABLE {table} {verb} ROW LEVEL SECURITY, {force} ROW LEVEL SECURITY")
            if not on:
                owner.execute("INSERT INTO openclaw_bench_tables VALUES (%s)", [table])


def main() -> None:
    fill()
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(WORLD.admin, backend="django.contrib.auth.backends.ModelBackend")
    session = client.session
    remember_factor(type("Request", (), {"session": session, "META": {}, "headers": {}})(), Factor.PASSKEY)
    session.save()
    taken: dict[tuple[str, bool], list[float]] = {}
    for _ in range(ROUNDS):
        for on in (True, False):
            if not on:
                switch(False)
            try:
                for address in LISTS:
                    taken.setdefault((address, on), []).append(milliseconds(client, address))
            finally:
                if not on:
                    switch(True)
    for address in LISTS:
        with_it, without = statistics.median(taken[address, True]), statistics.median(taken[address, False])
        row(address, on_ms=round(with_it, 2), off_ms=round(without, 2), ratio=round(with_it / without, 2))


def milliseconds(client: Client, address: str) -> float:
    """One request of the list, the mean of several."""
    client.get(address)
    connection.close()
    client.get(address)
    began = time.perf_counter()
    for _ in range(TIMES):
        response = client.get(address)
        assert response.status_code == 200, (address, response.status_code)
    return (time.perf_counter() - began) / TIMES * 1e3


if __name__ == "__main__":
    main()
