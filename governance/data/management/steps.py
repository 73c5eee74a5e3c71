"""What each step of `openclaw data` takes."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import date
from uuid import UUID

from governance.data.models import ComputePool, LineageEdge


def add_steps(parser: ArgumentParser) -> None:
    """Describe every step to the parser."""
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
    link = steps.add_parser("link", help="write down what an asset came of; its limits flow from there")
    link.add_argument("asset", help="its id, or its name")
    link.add_argument("source", help="id or name of what it came of")
    link.add_argument("--relation", default=LineageEdge.Relation.DERIVED_FROM.value)
    place = steps.add_parser("place", help="where would work on these assets run, and why not elsewhere?")
    place.add_argument("assets", nargs="+", type=UUID)
    place.add_argument("--workload", default="batch")
    place.add_argument("--region", default="")
    place.add_argument("--purpose", default="", help="what the work says it is for")
    erase = steps.add_parser("erase", help="erase an asset with what came of it, or a data subject")
    erase.add_argument("reference")
    erase.add_argument("--subject", action="store_true", help="the reference is a data subject's key")
    erase.add_argument("--reason", required=True)
    datasets_ = steps.add_parser("datasets", help="list registered datasets")
    register = steps.add_parser("register", help="register data that stays where it is, by its address")
    register.add_argument("name")
    register.add_argument("location", help="for example s3://bucket/path")
    register.add_argument("--digest", default="", help="SHA-256 of the content")
    register.add_argument("--held-at", default="", help="address of the pool beside which it lies")
    register.add_argument("--label", default="internal")
    register.add_argument("--subject", action="append", default=[])
    for step, told in (("lend", "let a program have work done on a dataset"), ("take-back", "end that")):
        grant = steps.add_parser(step, help=told)
        grant.add_argument("dataset", type=UUID)
        grant.add_argument("application", type=UUID)
        grant.add_argument("--tenant", default="", help="short name of the tenant")
    describe = steps.add_parser("describe", help="make what is written about an asset stricter")
    describe.add_argument("asset", type=UUID)
    describe.add_argument("--licence", default=None)
    for each in (register, describe):
        each.add_argument("--purpose", default=None)
        each.add_argument("--region", default=None)
        each.add_argument("--retention-days", type=int, default=None)
    wishes = steps.add_parser("requests", help="list requests to loosen something; two people decide them")
    erasures = steps.add_parser("erasures", help="list erasures, or show one with its places")
    erasures.add_argument("erasure", nargs="?", type=UUID)
    retry = steps.add_parser("retry-erasure", help="try again what needed a person")
    cancel = steps.add_parser("cancel-erasure", help="stop one; what is erased stays erased")
    cancel.add_argument("--reason", required=True)
    receipt = steps.add_parser("receipt", help="print the signed receipt of an erasure as JSON")
    for each in (retry, cancel, receipt):
        each.add_argument("erasure", type=UUID)
    pools_ = steps.add_parser("pools", help="list compute pools and burst rules")
    pool = steps.add_parser("set-pool", help="describe a pool; with --tenant, one of that tenant's own")
    pool.add_argument("name")
    pool.add_argument("kind", choices=ComputePool.Kind.values)
    pool.add_argument("--region", default="")
    pool.add_argument("--certified", action="append", default=[], help="for example hipaa")
    pool.add_argument("--capacity", type=int, default=60, help="tasks a minute")
    pool.add_argument("--off", action="store_true", help="take it out of use")
    burst = steps.add_parser("set-burst", help="from which queue length on what may move goes public")
    burst.add_argument("workload")
    burst.add_argument("threshold", type=int)
    burst.add_argument("pool", help="a public pool of the platform")
    burst.add_argument("--off", action="store_true", help="take it out of use")
    replay = steps.add_parser("replay-day", help="what would have run where on a recorded day")
    replay.add_argument("--date", type=date.fromisoformat, default=None, help="UTC; default: today")
    replay.add_argument("--pool-file", default="", help="JSON with pools and burst rules to assume")
    more = (datasets_, register, describe, wishes, erasures, retry, cancel, receipt, pools_, pool, burst)
    for each in (assets, walk, place, replay, datasets_, wishes, erasures, pools_):
        each.add_argument("--json", action="store_true")
    for each in (assets, label, walk, link, place, erase, replay, *more):
        each.add_argument("--tenant", default="", help="short name of the tenant")
