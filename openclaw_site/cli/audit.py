"""`openclaw audit`: what an auditor can ask from the command line."""

from __future__ import annotations

import click

from openclaw_site.cli.manage import run_django


@click.group()
def audit() -> None:
    """The audit log."""


def _options(**values: str | bool | None) -> list[str]:
    given: list[str] = []
    for name, value in values.items():
        if value is True:
            given.append(f"--{name}")
        elif value:
            given.append(f"--{name.replace('_', '-')}={value}")
    return given


@audit.command()
@click.option("--tenant", help="Short name of one tenant; without it, every chain.")
@click.option("--against", type=click.Path(exists=True, dir_okay=False), help="A file of kept signed heads.")
def verify(tenant: str | None, against: str | None) -> None:
    """Recompute every hash chain; exit 1 and say where one was changed, shortened, extended or reordered."""
    raise SystemExit(run_django("audit_verify", *_options(tenant=tenant, against=against)))


@audit.command()
@click.option("--tenant", help="Short name of one tenant.")
@click.option("--all", "every", is_flag=True, help="Every signed head, not only the newest of each chain.")
@click.option("--json", "as_json", is_flag=True, help="For a file that `verify --against` reads.")
def heads(tenant: str | None, every: bool, as_json: bool) -> None:
    """Sign the ends of the chains and print them, for keeping off-site."""
    raise SystemExit(run_django("audit_heads", *_options(tenant=tenant, all=every, json=as_json)))


@audit.command()
@click.option("--from", "since", help="First day or time, such as 2026-11-01.")
@click.option("--to", "until", help="Day or time before which entries are written.")
@click.option("--tenant", help="Short name of one tenant.")
@click.option("--actor", help="Who: an id, or a part of the name.")
@click.option("--action", help="The beginning of an action, such as registry.")
@click.option("--target-type", help="The kind of object.")
@click.option("--target-id", help="The object's id.")
@click.option("--decision", type=click.Choice(["allow", "deny"]))
@click.option("--request-id", help="Of one request.")
@click.option("--text", help="Words in the reason.")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="jsonl", show_default=True)
@click.option("--output", type=click.Path(exists=False), help="File to write; without it, standard output.")
def export(
    since: str | None,
    until: str | None,
    tenant: str | None,
    form: str,
    output: str | None,
    **filters: str | None,
) -> None:
    """Write entries as CSV or JSON lines, newest first; every filter narrows them."""
    options = _options(tenant=tenant, format=form, output=output, **filters)
    raise SystemExit(run_django("audit_export", *options, *_options(**{"from": since, "to": until})))


@audit.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def keeping(arguments: tuple[str, ...]) -> None:
    """How long entries are kept, and legal holds: list, retain, hold, release (each with --help)."""
    raise SystemExit(run_django("audit_keeping", *(arguments or ("--help",))))
