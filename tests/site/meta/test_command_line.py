"""Whatever a person can have done in the ground floor can be done from the command line, or it says here why not."""

from __future__ import annotations

from functools import cache

import click
import pytest

from openclaw_site.cli import main
from tests.site.meta.acts import acts, used
from tests.site.meta.product import CHECKOUT, sources

BROWSER = "needs a browser: a person's own factor or session is shown or made there"
INSIDE = "no act of its own: services call it as a part of theirs"
MODULE = "an area's module says it about its own thing, with the bytes in hand; nobody types it"
# What no command does, and why.
WITHOUT = {
    "governance.access.devices.register_device": "a device shows the key that it keeps; only it can",
    "governance.access.leaving.disabled": INSIDE,
    "governance.access.leaving.left": INSIDE,
    "governance.audit.export.begin_export": "the page writes a stream; `audit export` a file, through `pieces`",
    "governance.audit.export.pieces_async": "the page's side of `pieces`",
    "governance.audit.runs.start_verification": "queues what `audit verify` does at once",
    "governance.audit.services.record_read": INSIDE,
    "governance.data.datasets.open_dataset": "gives bytes to work that says its purpose, and a person no copy",
    "governance.data.datasets.lend_dataset": "a part of starting work on it: `batch start --dataset`",
    "governance.data.flow.flow_from": INSIDE,
    "governance.data.flow.raise_asset": INSIDE,
    "governance.data.flow.set_limits": INSIDE,
    "governance.data.services.register_asset": MODULE,
    "governance.ethics.binding.bind": MODULE,
    "governance.ethics.enforcing.require_approved": INSIDE,
    "governance.ethics.services.request_approval": MODULE,
    "governance.ethics.services.void_approvals": INSIDE,
    "governance.events.effects.apply": INSIDE,
    "governance.events.services.receive": "an identity provider delivers it with its signature",
    "governance.identity.services.factors.add_passkey": BROWSER,
    "governance.identity.services.factors.add_totp": BROWSER,
    "governance.identity.services.factors.new_recovery_codes": BROWSER,
    "governance.identity.services.factors.remove": BROWSER,
    "governance.identity.services.factors.rename_passkey": BROWSER,
    "governance.identity.services.sessions.begin": BROWSER,
    "governance.identity.services.sessions.end_everywhere": "a part of `access disable` and of security events",
    "governance.identity.services.sessions.end_others": BROWSER,
    "governance.identity.services.sessions.end_own": BROWSER,
    "governance.identity.services.sessions.end_present": BROWSER,
    "governance.identity.services.sessions.prove": BROWSER,
    "governance.keys.keyring.new_data_key": INSIDE,
    "governance.keys.keyring.new_wrapping_key": INSIDE,
    "governance.oversight.tasking.open_task": "a machine's answer opens it; a person contests one",
    "governance.oversight.tasking.record_step": INSIDE,
    "governance.oversight.withholding.fetch": "gives the withheld answer to the program that asked for it",
}
# Policies come from a file under version control, by a program's own token: the command speaks the REST API.
OVER_REST = {
    "governance.policies.services.save_draft": "policies propose",
    "governance.policies.services.propose": "policies propose",
    "governance.policies.services.roll_back": "policies roll-back",
    "governance.policies.services.activate": "policies activate",
    "governance.policies.services.withdraw": "policies withdraw",
    "governance.policies.what_if.what_if": "policies what-if",
}


@cache
def commanded() -> frozenset[str]:
    files = [path for path in sources("governance") if "commands" in path.parts]
    files += sources("openclaw_site/cli", "openclaw_site/management")
    return frozenset(name for path in files for name in used(path))


def test_there_is_something_to_look_at():
    assert len(acts()) > 90
    assert {
        "governance.data.loosening.decide_declassification",
        "governance.access.services.suspend_tenant",
    } <= (acts() & commanded())


def test_every_act_has_a_command_or_a_reason():
    missing = acts() - commanded() - set(WITHOUT) - set(OVER_REST)
    assert not missing, "give each a command, or say in WITHOUT why it has none"


def test_no_exception_outlives_its_reason():
    excused = set(WITHOUT) | set(OVER_REST)
    assert not excused - acts(), "there is no such act any more"
    assert not excused & commanded(), "it has a command now"


@pytest.mark.parametrize("command", sorted(set(OVER_REST.values())))
def test_what_goes_over_rest_is_a_command(command: str):
    group, step = command.split()
    found = main.get_command(click.Context(main), group)
    assert isinstance(found, click.Group)
    assert step in found.commands
    assert (CHECKOUT / "openclaw_site/cli" / f"{group}.py").is_file()
