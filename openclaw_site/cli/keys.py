"""`openclaw keys`: the state of keys, rotation, re-encryption and destruction."""

from __future__ import annotations

import click

from openclaw_site.cli.manage import run_django


@click.group()
def keys() -> None:
    """Keys: where they live, rotation, re-encryption, destruction."""


@keys.command()
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def status(as_json: bool) -> None:
    """Where keys live, whether that place answers, and every tenant's keys."""
    raise SystemExit(run_django("keys", "status", *(["--json"] if as_json else [])))


@keys.command()
def check() -> None:
    """What needs an administrator's attention; exit 1 when the keys are out of reach."""
    raise SystemExit(run_django("keys", "check"))


@keys.command()
@click.option("--tenant", required=True, help="The tenant's short name.")
@click.option(
    "--purpose", default="", help="Rotate the data key of this purpose instead of the wrapping key."
)
@click.option("--reason", default="", help="Kept in the audit log.")
def rotate(tenant: str, purpose: str, reason: str) -> None:
    """Make a new wrapping key, with the provider that is set now, and wrap the tenant's data keys with it."""
    options = [f"--tenant={tenant}", f"--purpose={purpose}", f"--reason={reason}"]
    raise SystemExit(run_django("keys", "rotate", *options))


@keys.command("re-encrypt")
@click.option("--tenant", required=True, help="The tenant's short name.")
@click.option("--purpose", default="", help="Only what this purpose's keys sealed.")
def re_encrypt(tenant: str, purpose: str) -> None:
    """Write everything anew that retired keys sealed, showing how far it is."""
    raise SystemExit(run_django("keys", "re-encrypt", f"--tenant={tenant}", f"--purpose={purpose}"))


@keys.command("cancel-re-encryption")
@click.option("--tenant", required=True, help="The tenant's short name.")
def cancel_re_encryption(tenant: str) -> None:
    """Stop a re-encryption after its present step; nothing is lost, and the rest stays readable as it is."""
    raise SystemExit(run_django("keys", "cancel-re-encryption", f"--tenant={tenant}"))


@keys.command()
@click.option("--tenant", required=True, help="The tenant's short name.")
@click.option(
    "--as", "user", required=True, help="Who asks or confirms; the password is read from the terminal."
)
@click.option("--reason", default="", help="Why; needed when asking.")
@click.option("--confirm", "step", flag_value="--confirm", help="Confirm as a second person.")
@click.option("--withdraw", "step", flag_value="--withdraw", help="Take the request back.")
def destroy(tenant: str, user: str, reason: str, step: str | None) -> None:
    """Ask that all keys of a tenant be destroyed; with --confirm, as somebody else, do it. There is no way back."""
    options = [f"--tenant={tenant}", f"--as={user}", f"--reason={reason}", *([step] if step else [])]
    raise SystemExit(run_django("keys", "destroy", *options))
