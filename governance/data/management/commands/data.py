"""`openclaw data …`: the catalogue, lineage, placement, erasure and replay from a terminal of this machine."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from governance.data import erasing, lineage, selectors, services
from governance.data.models import Asset, Erasure
from governance.data.replay import Layout, as_table, replay_day
from governance.data.trial import try_placement
from governance.errors import DomainError
from governance.principals import SYSTEM, Principal
from governance.tenants.context import platform_scope
from governance.tenants.models import Tenant


class Command(BaseCommand):
    """Acts as the house itself: whoever has a terminal here has its rights, and the audit log says so."""

    help = "Assets, labels, lineage, placement, erasures, and a day's placements replayed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        steps = parser.add_subparsers(dest="step", required=True)
        assets = steps.add_parser("assets", help="list the catalogue")
        assets.add_argument("--text", default="")
        assets.add_argument("--label", default="")
        label = steps.add_parser("label", help="raise a label; what came of the asset rises with it")
        label.add_argument("asset", type=UUID)
        label.add_argument("label")
        label.add_argument("--subject", action="append", default=[])
        label.add_argument("--reason", required=True)
        walk = steps.add_parser("lineage", help="where something came from, and what came of it")
        walk.add_argument("asset", nargs="?", type=UUID)
        walk.add_argument("--prediction", default="", help="a prediction's request id")
        place = steps.add_parser("place", help="where would work on these assets run, and why not elsewhere?")
        place.add_argument("assets", nargs="+", type=UUID)
        place.add_argument("--workload", default="batch")
        place.add_argument("--region", default="")
        place.add_argument("--purpose", default="", help="what the work says it is for")
        erase = steps.add_parser("erase", help="erase an asset with what came of it, or a data subject")
        erase.add_argument("reference")
        erase.add_argument("--subject", action="store_true", help="the reference is a data subject's key")
        erase.add_argument("--reason", required=True)
        replay = steps.add_parser("replay-day", help="what would have run where on a recorded day")
        replay.add_argument("--date", type=date.fromisoformat, default=None, help="UTC; default: today")
        replay.add_argument("--pool-file", default="", help="JSON with pools and burst rules to assume")
        for each in (assets, walk, place, replay):
            each.add_argument("--json", action="store_true")
        for each in (assets, label, walk, place, erase, replay):
            each.add_argument("--tenant", default="", help="short name of the tenant")

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
        self.stdout.write(f"Queued as {made.id}; its progress and receipt are in the console under Erasures.")

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


def _asset(asset: Asset) -> dict[str, Any]:
    return {
        "id": str(asset.id),
        "name": asset.name,
        "kind": asset.type,
        "label": asset.label,
        "about": "+".join(asset.subjects) or "-",
    }
