"""`openclaw data`: the catalogue, lineage, placement, erasure, and a day's placements replayed."""

from __future__ import annotations

from pathlib import Path

import click

from openclaw_site.cli.manage import run_django

tenant_option = click.option("--tenant", default="", help="Short name of the tenant.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
PASSED_ON = {
    "datasets": "List registered datasets.",
    "register": "Register data that stays where it is, by its address.",
    "link": "Write down what an asset came of; its label and other limits flow from there.",
    "lend": "Let a program (by its id) have work done on a dataset.",
    "take-back": "End that.",
    "describe": "Make what is written about an asset stricter; loosening it takes two people: `act loosen`.",
    "requests": "List requests to loosen something.",
    "erasures": "List erasures, or show one with its places.",
    "retry-erasure": "Try again what needed a person.",
    "cancel-erasure": "Stop an erasure; what is erased stays erased.",
    "receipt": "Print the signed receipt of an erasure as JSON.",
    "pools": "List compute pools and burst rules.",
    "set-pool": "Describe a pool; with --tenant, one of that tenant's own.",
    "set-burst": "From which queue length on what may move goes public.",
}


@click.group()
def data() -> None:
    """Data governance: what there is, where it came from, where it may run."""


@data.command()
@click.option("--text", default="", help="Part of a name, id, digest or purpose.")
@click.option("--label", default="", help="Only assets with this label.")
@tenant_option
@json_option
def assets(text: str, label: str, tenant: str, as_json: bool) -> None:
    """List the catalogue."""
    _run("assets", f"--text={text}", f"--label={label}", tenant=tenant, as_json=as_json)


@data.command()
@click.argument("asset")
@click.argument("label")
@click.option("--subject", multiple=True, help="personal, health or payment; may be repeated.")
@click.option("--reason", required=True)
def label(asset: str, label: str, subject: tuple[str, ...], reason: str) -> None:
    """Raise a label; what came of the asset rises with it. Lowering one needs two people: `act loosen`."""
    _run("label", asset, label, *(f"--subject={name}" for name in subject), f"--reason={reason}")


@data.command()
@click.argument("asset", required=False)
@click.option("--prediction", default="", help="A prediction's request id; needs --tenant.")
@tenant_option
@json_option
def lineage(asset: str | None, prediction: str, tenant: str, as_json: bool) -> None:
    """Where something came from (negative depths), and what came of it."""
    _run("lineage", *([asset] if asset else []), f"--prediction={prediction}", tenant=tenant, as_json=as_json)


@data.command()
@click.argument("assets", nargs=-1, required=True)
@click.option("--workload", default="batch", show_default=True)
@click.option("--region", default="", help="Where it would like to run.")
@click.option("--purpose", default="", help="What the work says it is for.")
@json_option
def place(assets: tuple[str, ...], workload: str, region: str, purpose: str, as_json: bool) -> None:
    """Where would work on these assets run, and which rule keeps it from each other pool?"""
    given = (f"--workload={workload}", f"--region={region}", f"--purpose={purpose}")
    _run("place", *assets, *given, as_json=as_json)


@data.command()
@click.argument("reference")
@click.option("--subject", is_flag=True, help="The reference is a data subject's key, not an asset's id.")
@click.option("--tenant", required=True, help="Short name of the tenant.")
@click.option("--reason", required=True, help="Stands on the receipt.")
def erase(reference: str, subject: bool, tenant: str, reason: str) -> None:
    """Erase an asset with everything that came of it, or all that is kept about a data subject."""
    _run("erase", reference, *(["--subject"] if subject else []), f"--reason={reason}", tenant=tenant)


@data.command("replay-day")
@click.option("--date", "day", default="", help="A day (UTC), such as 2026-11-23; today without it.")
@click.option(
    "--pool-file", type=click.Path(exists=True, dir_okay=False), help="Pools and burst rules to assume."
)
@tenant_option
@json_option
def replay_day(day: str, pool_file: str | None, tenant: str, as_json: bool) -> None:
    """Decide a recorded day's placements again: what would have run where."""
    given = [f"--date={day}"] if day else []
    given += [f"--pool-file={pool_file}"] if pool_file else []
    _run("replay-day", *given, tenant=tenant, as_json=as_json)


@data.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def act(arguments: tuple[str, ...]) -> None:
    """Loosen, decide, confirm-place, as a person who gives their password (see --help)."""
    raise SystemExit(run_django("data_act", *arguments))


@data.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def upload(name: str, file: Path, arguments: tuple[str, ...]) -> None:
    """Keep FILE as the dataset NAME, sealed; further options as `act upload --help` lists them."""
    raise SystemExit(run_django("data_act", "upload", name, str(file), *arguments))


def _passed_on(step: str, told: str) -> click.Command:
    """A step whose arguments the Django command reads itself; `--help` shows them."""

    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def run(arguments: tuple[str, ...]) -> None:
        _run(step, *arguments)

    settings = {"ignore_unknown_options": True, "help_option_names": []}
    return click.command(step, help=told, context_settings=settings)(run)


for _step, _told in PASSED_ON.items():
    data.add_command(_passed_on(_step, _told))


def _run(step: str, *arguments: str, tenant: str = "", as_json: bool = False) -> None:
    more = [*([f"--tenant={tenant}"] if tenant else []), *(["--json"] if as_json else [])]
    raise SystemExit(run_django("data", step, *arguments, *more))
