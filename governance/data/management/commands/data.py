"""`openclaw data …`: the catalogue, lineage, placement, erasure and replay from a terminal of this machine."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from governance.data import datasets, erasing, lineage, pools, selectors, services
from governance.data.labels import Limits
from governance.data.management.steps import add_steps
from governance.data.models import Asset, Declassification, Erasure
from governance.data.reading_rights import grant_reading, revoke_reading
from governance.data.replay import Layout, as_table, replay_day
from governance.data.trial import try_placement
from governance.errors import DomainError, NotFound
from governance.principals import SYSTEM, Principal
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant


class Command(BaseCommand):
    """Acts as the house itself: whoever has a terminal here has its rights, and the audit log says so."""

    help = "Assets, labels, lineage, placement, erasures, and a day's placements replayed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_steps(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        step: Callable[..., None] = getattr(self, "_" + options["step"].replace("-", "_"))
        try:
            with platform_scope(), _one_transaction(options["step"]):
                step(_principal(options["tenant"]), options)
        except DomainError as error:
            raise CommandError(str(error)) from error

    def _assets(self, principal: Principal, options: dict[str, Any]) -> None:
        rows = selectors.search(principal, text=options["text"], label=options["label"])
        if principal.tenant_id:
            rows = rows.filter(tenant_id=principal.tenant_id)
        self._show(options, [_asset(row) for row in rows[: selectors.MAX_SEARCH]])

    def _label(self, principal: Principal, options: dict[str, Any]) -> None:
        raised = services.relabel(
            principal=principal,
            asset_id=options["asset"],
            label=options["label"],
            subjects=options["subject"],
            reason=options["reason"],
        )
        self.stdout.write(f"The label is set; {len(raised)} things that came of it rose as well.")

    def _lineage(self, principal: Principal, options: dict[str, Any]) -> None:
        if options["asset"]:
            start = lineage.asset_for(principal, options["asset"])
        elif options["prediction"]:
            start, _facts = lineage.asset_of_reference(principal, "prediction", options["prediction"])
        else:
            raise CommandError("Name an asset, or --tenant and --prediction.")
        graph = lineage.graph_of(start)
        nodes = sorted(graph.nodes, key=lambda node: (node.depth, node.asset.name))
        self._show(options, [{"depth": node.depth, **_asset(node.asset)} for node in nodes])

    def _link(self, principal: Principal, options: dict[str, Any]) -> None:
        if principal.tenant_id is None:
            raise CommandError("Say whose lineage it is: --tenant.")
        asset, source = (
            lineage.asset_named(principal, options[name], tenant_id=principal.tenant_id)
            for name in ("asset", "source")
        )
        services.link(
            principal=principal,
            source=source.target,
            target=asset.target,
            relation=options["relation"],
            tenant_id=asset.tenant_id,
        )
        self.stdout.write(f"Kept: {asset.name} came of {source.name}.")

    def _place(self, principal: Principal, options: dict[str, Any]) -> None:
        verdict = try_placement(
            principal=principal,
            asset_ids=options["assets"],
            workload=options["workload"],
            region=options["region"],
            purpose=options["purpose"],
        )
        trail = [
            {
                "pool": step.pool.name,
                "kind": step.pool.kind,
                "allowed": step.allowed,
                "rule": ", ".join(step.rules),
                "reason": step.reason,
            }
            for step in verdict.trail
        ]
        if options["json"]:
            self.stdout.write(json.dumps({"pool": verdict.pool, "queue": verdict.queue, "trail": trail}))
            return
        self._show(options, trail)
        self.stdout.write(f"It would run in {verdict.pool}." if verdict.pool else "It would be refused.")

    def _erase(self, principal: Principal, options: dict[str, Any]) -> None:
        made = erasing.request_erasure(
            principal=principal,
            kind=Erasure.Kind.SUBJECT if options["subject"] else Erasure.Kind.ASSET,
            reference=options["reference"],
            reason=options["reason"],
            tenant_id=principal.tenant_id,
        )
        self.stdout.write(f"Queued as {made.id}; `openclaw data erasures {made.id}` shows its progress.")

    def _datasets(self, principal: Principal, options: dict[str, Any]) -> None:
        rows = selectors.visible_datasets(principal).order_by("name")
        if principal.tenant_id:
            rows = rows.filter(tenant_id=principal.tenant_id)
        self._show(
            options,
            [
                {
                    **_asset(row.asset),
                    "kept as": row.kind,
                    "where": row.location or row.filename,
                    "held at": row.held_at.address if row.held_at else pools.HOME_POOL,
                }
                for row in rows[: selectors.MAX_SEARCH]
            ],
        )

    def _lend(self, principal: Principal, options: dict[str, Any]) -> None:
        wanted = {"dataset_id": options["dataset"], "application_id": options["application"]}
        grant_reading(principal=principal, **wanted)

    def _take_back(self, principal: Principal, options: dict[str, Any]) -> None:
        wanted = {"dataset_id": options["dataset"], "application_id": options["application"]}
        revoke_reading(principal=principal, **wanted)

    def _register(self, principal: Principal, options: dict[str, Any]) -> None:
        made = datasets.reference_dataset(
            principal=principal,
            name=options["name"],
            location=options["location"],
            digest=options["digest"],
            held_at=options["held_at"],
            label=options["label"],
            subjects=options["subject"],
            purpose=options["purpose"] or "",
            region=options["region"] or "",
            retention_days=options["retention_days"],
        )
        self.stdout.write(f"Registered; its asset is {made.asset_id}.")

    def _describe(self, principal: Principal, options: dict[str, Any]) -> None:
        services.describe_asset(
            principal=principal,
            asset_id=options["asset"],
            purpose=options["purpose"],
            region=options["region"],
            licence=options["licence"],
            retention_days=options["retention_days"],
        )
        self.stdout.write("Kept.")

    def _requests(self, principal: Principal, options: dict[str, Any]) -> None:
        rows = Declassification.objects.select_related("asset", "requested_by").filter(
            state=Declassification.State.REQUESTED
        )
        if principal.tenant_id:
            rows = rows.filter(tenant_id=principal.tenant_id)
        self._show(
            options,
            [
                {
                    "id": str(row.id),
                    "asset": row.asset.name,
                    "from": _limits(row.present, row.from_retention_days),
                    "to": _limits(row.wanted, row.to_retention_days),
                    "asked by": str(row.requested_by),
                    "reason": row.reason,
                }
                for row in rows[: selectors.MAX_SEARCH]
            ],
        )

    def _erasures(self, principal: Principal, options: dict[str, Any]) -> None:
        if options["erasure"]:
            found = self._erasure(principal, options)
            if not options["json"]:
                self.stdout.write(f"{found}: {found.state}")
            names = ("id", "name", "type", "outcome", "reason", "confirmed_by_label")
            self._show(options, list(found.places.order_by("depth", "id").values(*names)))
            return
        rows = Erasure.objects.all()
        if principal.tenant_id:
            rows = rows.filter(tenant_id=principal.tenant_id)
        shown = [
            {"id": str(row.id), "what": row.kind, "reference": row.reference, "state": row.state}
            for row in rows[: selectors.MAX_SEARCH]
        ]
        self._show(options, shown)

    def _retry_erasure(self, principal: Principal, options: dict[str, Any]) -> None:
        erasing.retry_erasure(principal=principal, erasure_id=self._erasure(principal, options).id)
        self.stdout.write("It is tried again.")

    def _cancel_erasure(self, principal: Principal, options: dict[str, Any]) -> None:
        found = self._erasure(principal, options)
        erasing.cancel_erasure(principal=principal, erasure_id=found.id, reason=options["reason"])
        self.stdout.write("It is stopped; what is erased stays erased.")

    def _receipt(self, principal: Principal, options: dict[str, Any]) -> None:
        found = self._erasure(principal, options)
        if found.receipt is None:
            raise CommandError("The erasure has no receipt yet.")
        body = {"receipt": found.receipt, "sha256": found.receipt_digest, "signature": found.signature}
        self.stdout.write(json.dumps(body, indent=1, sort_keys=True))

    def _pools(self, principal: Principal, options: dict[str, Any]) -> None:
        known = pools.pools_for(principal.tenant_id)
        rules = {rule.pool: f"{rule.workload} > {rule.threshold}" for rule in pools.bursts().values()}
        self._show(
            options,
            [
                {
                    "address": pool.name,
                    "kind": pool.kind,
                    "region": pool.region or "-",
                    "certified for": "+".join(pool.certified_for) or "-",
                    "tasks a minute": pool.capacity,
                    "burst": rules.get(pool.name, "-"),
                }
                for pool in known
            ],
        )

    def _set_pool(self, principal: Principal, options: dict[str, Any]) -> None:
        pool = pools.set_pool(
            principal=principal,
            name=options["name"],
            kind=options["kind"],
            region=options["region"],
            certified_for=options["certified"],
            capacity=options["capacity"],
            enabled=not options["off"],
            tenant_id=principal.tenant_id,
        )
        self.stdout.write(f"Described; its workers run with OPENCLAW_POOL={pool.address}.")

    def _set_burst(self, principal: Principal, options: dict[str, Any]) -> None:
        rule = pools.set_burst(
            principal=principal,
            workload=options["workload"],
            threshold=options["threshold"],
            pool_name=options["pool"],
            enabled=not options["off"],
        )
        self.stdout.write(f"Set: {rule}.")

    def _erasure(self, principal: Principal, options: dict[str, Any]) -> Erasure:
        found = Erasure.objects.filter(pk=options["erasure"]).first()
        if found is None or (principal.tenant_id and found.tenant_id != principal.tenant_id):
            raise NotFound("There is no such erasure.")
        return found

    def _replay_day(self, principal: Principal, options: dict[str, Any]) -> None:
        path = options["pool_file"]
        try:
            layout = Layout.from_json(Path(path).read_text(encoding="utf-8")) if path else None
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} cannot be read: {error}") from error
        day = options["date"] or datetime.now(UTC).date()
        replay = replay_day(day, layout=layout, tenant_id=principal.tenant_id)
        if options["json"]:
            self.stdout.write(json.dumps(replay.as_json()))
            return
        for line in as_table(replay):
            self.stdout.write(line)

    def _show(self, options: dict[str, Any], rows: list[dict[str, Any]]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(rows, default=str))
            return
        if not rows:
            self.stdout.write("Nothing found.")
            return
        names = list(rows[0])
        table = [names, *([str(row[name]) for name in names] for row in rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(names))]
        for line in table:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())


@contextmanager
def _one_transaction(step: str) -> Iterator[None]:
    # A replay reads a whole day in pieces of its own.
    if step == "replay-day":
        yield
        return
    with transaction.atomic():
        yield


def _principal(slug: str) -> Principal:
    if not slug:
        return SYSTEM
    with transaction.atomic():
        tenant = Tenant.objects.filter(slug=slug).first()
    if tenant is None:
        raise CommandError(f"There is no tenant “{slug}”.")
    return replace(SYSTEM, tenant_id=tenant.id, label="an operator at the command line")


def _limits(limits: Limits, days: int | None) -> str:
    said = (
        limits.label,
        "+".join(limits.subjects),
        limits.region,
        limits.purpose,
        f"{days} days" if days else "",
    )
    return ", ".join(part for part in said if part)


def _asset(asset: Asset) -> dict[str, Any]:
    return {
        "id": str(asset.id),
        "name": asset.name,
        "kind": asset.type,
        "label": asset.label,
        "about": "+".join(asset.subjects) or "-",
    }
