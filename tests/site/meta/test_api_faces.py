"""Whatever somebody can have done in the ground floor can be done over REST, or it says here why not."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.site.meta.acts import acts, reached
from tests.site.meta.product import sources

BROWSER = "needs a browser: a person's own factor or session is shown or made there"
MODULE = "an area's module says it about its own thing, with the bytes in hand; no request says it for it"
PART = "no act of its own: what causes it is one"
# What no endpoint does, and why.
WITHOUT = {
    "governance.data.datasets.lend_dataset": "a part of starting work on it: `POST /api/v1/batch-jobs/` with `dataset`",
    "governance.data.datasets.open_dataset": "gives bytes to work that says its purpose; a person gets no copy",
    "governance.ethics.binding.bind": MODULE,
    "governance.ethics.enforcing.require_approved": PART,
    "governance.ethics.services.request_approval": MODULE,
    "governance.ethics.services.void_approvals": PART,
    "governance.events.effects.apply": PART,
    "governance.events.services.receive": "`POST /events/caep/ID/`, as RFC 8935 has it: events.views",
    "governance.identity.services.factors.add_passkey": BROWSER,
    "governance.identity.services.factors.add_totp": BROWSER,
    "governance.identity.services.factors.new_recovery_codes": BROWSER,
    "governance.identity.services.factors.remove": BROWSER,
    "governance.identity.services.factors.rename_passkey": BROWSER,
    "governance.identity.services.sessions.begin": BROWSER,
    "governance.identity.services.sessions.end_others": BROWSER,
    "governance.identity.services.sessions.end_own": BROWSER,
    "governance.identity.services.sessions.end_present": BROWSER,
    "governance.identity.services.sessions.prove": BROWSER,
    "governance.oversight.tasking.contest": "`POST /api/v1/oversight-tasks/` with the cause `contested` opens the same",
}


def is_api(path: Path) -> bool:
    return path.stem == "api" or path.stem.endswith("_api") or path.stem.startswith("api_")


@cache
def served() -> frozenset[str]:
    return reached(path for path in sources("governance") if is_api(path))


def test_there_is_something_to_look_at():
    assert len(acts()) > 90
    # Named by an endpoint, and reached only through what an endpoint names.
    assert {"governance.access.services.create_tenant", "governance.access.leaving.left"} <= (
        acts() & served()
    )


def test_every_act_has_an_endpoint_or_a_reason():
    missing = acts() - served() - set(WITHOUT)
    assert not missing, "give each an endpoint, or say in WITHOUT why it has none"


def test_no_exception_outlives_its_reason():
    assert not set(WITHOUT) - acts(), "there is no such act any more"
    assert not set(WITHOUT) & served(), "it has an endpoint now"
