"""The auditor sees the log, the decisions and the rules behind them, and nothing else of anybody's."""

from __future__ import annotations

import pytest

from governance.access.decisions import registered_actions
from governance.principals import Role

LOG = {"audit.entry.view", "audit.entry.export", "audit.chain.view", "audit.chain.verify"}
# Why something was decided: the recorded decisions and the policies that made them, to read.
WHY = {"policies.version.view", "policies.decision.view", "policies.decision.explain"}
# What everybody who signs in has: the frame of the console, and one's own account.
OWN = {
    "access.principal.view",
    "access.device.register",
    "access.device.view",
    "access.token.authorize",
    "site.console.open",
    "identity.account.view",
    "identity.factor.manage",
    "identity.own-session.end",
}


def test_the_auditor_may_exactly_this():
    opened = {action for action, rule in registered_actions().items() if Role.AUDITOR in rule.roles}
    assert opened == LOG | WHY | OWN


@pytest.mark.parametrize("action", sorted(LOG | WHY))
def test_nothing_of_it_changes_anything(action):
    changing = {"administer", "approve", "invoke", "read_data", "move_data", "release"}
    assert not changing & set(registered_actions()[action].groups)
