"""`openclaw ethics`: evaluating per group, looking at what waits, and evidence bundles from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import click

from openclaw_site.cli.manage import run_django

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUT = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.group()
def ethics() -> None:
    """Ethics approvals, their evidence, and evidence bundles."""


@ethics.command()
@click.option("--predictions", required=True, type=FILE, help="CSV file with one row per case.")
@click.option("--truth", required=True, help="Column with the true label.")
@click.option("--prediction", required=True, help="Column with the predicted label.")
@click.option("--group", required=True, help="Column with the group, for example an age band.")
@click.option("--positive", default="1", show_default=True, help="The label that stands for being selected.")
@click.option("--model", default="", help="Name and version of what was evaluated.")
@click.option("--out", required=True, type=OUT, help="Where the evaluation is written.")
def evaluate(
    predictions: Path, truth: str, prediction: str, group: str, positive: str, model: str, out: Path
) -> None:
    """Evaluate a classifier per group with Fairlearn, as evidence for the ethics office."""
    from openclaw_site.cli.fairness import RATES, EvaluationError, read_predictions
    from openclaw_site.cli.fairness import evaluate as evaluate_groups

    try:
        given = read_predictions(predictions, truth=truth, prediction=prediction, group=group)
        found = evaluate_groups(given, positive=positive, model=model)
    except EvaluationError as error:
        raise click.ClickException(str(error)) from error
    out.write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    for line in found["groups"]:
        rates = "  ".join(f"{rate} {_shown(line[rate])}" for rate in RATES)
        click.echo(f"{line['group']}: n {line['n']}  {rates}")
    apart = "  ".join(f"{rate} {_shown(found['disparities'][rate]['difference'])}" for rate in RATES)
    click.echo(f"largest difference: {apart}")


@ethics.command()
@click.argument("kind", type=click.Choice(["model_card", "evaluation", "oversight_plan"]))
@click.argument("file", type=FILE)
def check(kind: str, file: Path) -> None:
    """Say whether a document would be accepted as evidence, and what is wrong with it."""
    raise SystemExit(run_django("ethics_check", kind, str(file)))


@ethics.command()
def status() -> None:
    """What waits for a decision, what ends soon, and which serious incidents are late."""
    raise SystemExit(run_django("ethics_status"))


@ethics.command()
@click.argument("object_id")
@click.option("--kind", default="registry.modelversion", show_default=True, help="What the id belongs to.")
@click.option("--out", required=True, type=OUT, help="A file that ends in .zip, .json or .pdf.")
def bundle(object_id: str, kind: str, out: Path) -> None:
    """Write everything known about a model version; the ZIP is signed."""
    raise SystemExit(run_django("ethics_bundle", kind, object_id, str(out)))


@ethics.command()
def key() -> None:
    """Print the public keys of evidence bundles, for those who verify elsewhere."""
    raise SystemExit(run_django("ethics_key"))


@ethics.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def act(arguments: tuple[str, ...]) -> None:
    """Decide, supply evidence, and keep incidents, as a person who gives their password (see --help)."""
    raise SystemExit(run_django("ethics_act", *arguments))


@ethics.command("verify-bundle")
@click.argument("file", type=FILE)
@click.option(
    "--key",
    "key_file",
    type=FILE,
    help="Public keys as `openclaw ethics key` prints them. Without it, this site's own keys.",
)
def verify_bundle(file: Path, key_file: Path | None) -> None:
    """Check that a bundle's files are exactly those that were signed; exit 1 and say why when they are not."""
    if key_file is None:
        raise SystemExit(run_django("ethics_verify_bundle", str(file)))
    from governance.ethics.bundles.signing import NotGenuine, read_key, verify_archive

    try:
        given = json.loads(key_file.read_text("utf-8"))
        keys = [read_key(entry) for entry in (given if isinstance(given, list) else [given])]
        files = verify_archive(file.read_bytes(), keys)
    except NotGenuine as error:
        raise click.ClickException(f"{file.name} is not genuine: {error}") from error
    except ValueError as error:
        raise click.ClickException(f"{key_file.name}: {error}") from error
    click.echo(f"{file.name} is genuine: {', '.join(sorted(files))}")


def _shown(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.3f}"
