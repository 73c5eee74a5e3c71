"""Every state machine of the product, found by import and walked whole: all pairs of states, all roles."""

from __future__ import annotations

import re

import pytest

from governance.errors import IllegalTransition
from governance.principals import Role
from governance.states import StateTable
from tests.site.meta.product import AREAS, modules, sources
from tests.states import every_step

# A terminal state is a promise ("a published file is never changed"), so each is written down.
TERMINAL = {
    "governance.audit.states.VERIFICATION_STATES": {"broken", "failed", "holds"},
    "governance.data.states.DECLASSIFICATION_STATES": {"approved", "refused"},
    "governance.data.states.ERASURE_STATES": {"cancelled", "done"},
    "governance.ethics.states.APPROVAL_STATES": {"expired", "refused", "void"},
    "governance.ethics.states.INCIDENT_STATES": {"closed"},
    "governance.policies.states.VERSION_STATES": {"retired", "withdrawn"},
    "governance.oversight.states.STOP_STATES": {"released"},
    "governance.oversight.states.TASK_STATES": {"decided", "withdrawn", "lapsed"},
    "governance.privilege.states.ELEVATION_STATES": {"ended", "refused", "withdrawn"},
    "governance.privilege.states.PROPOSAL_STATES": {"kept", "removed", "stale"},
    "governance.keys.states.DESTRUCTION_STATES": {"confirmed", "withdrawn"},
    "governance.keys.states.KEY_STATES": {"destroyed"},
    "governance.keys.states.RE_ENCRYPTION_STATES": {"cancelled", "done"},
    "inference.registry.states.VERSION_STATES": {"retired"},
    "inference.rollouts.states.ROLLOUT_STATES": {"cancelled", "promoted", "rolled_back"},
    "inference.serving.batch.states.JOB_STATES": {"cancelled", "failed", "succeeded"},
    "inference.serving.batch.states.SHARD_STATES": {"cancelled", "done", "failed"},
    "skills.library.states.VERSION_STATES": {"retired"},
    "marketplace.catalog.states.APPLICATION_STATES": {"accepted", "refused"},
    "marketplace.catalog.states.VERSION_STATES": {"blocked", "rejected", "withdrawn"},
    "marketplace.distribution.states.RELEASE_STATES": {"removed"},
    "marketplace.installs.states.INSTALLATION_STATES": {"uninstalled"},
    "marketplace.review.states.SUBMISSION_STATES": {"checks_failed", "published", "rejected", "withdrawn"},
}


def tables() -> dict[str, StateTable]:
    """Every state table by the name of the variable that holds it."""
    return {
        f"{module.__name__}.{name}": value
        for module in modules("states")
        for name, value in vars(module).items()
        if isinstance(value, StateTable)
    }


STEPS = [
    pytest.param(table, *step.values, id=f"{name}-{step.id}")
    for name, table in sorted(tables().items())
    for step in every_step(table)
]


def test_tables_stand_in_states_modules_alone():
    written = sum(
        len(re.findall(r"^\w+ = StateTable\(", path.read_text(), re.MULTILINE)) for path in sources(*AREAS)
    )
    assert written == len(tables())


@pytest.mark.parametrize(("table", "source", "target"), STEPS)
def test_each_step_is_in_the_table_or_refused_by_name(table: StateTable, source: str, target: str):
    if not table.allows(source, target):
        with pytest.raises(IllegalTransition) as refused:
            table.check(source, target, set(Role))
        assert f"“{source}”" in str(refused.value)
        assert f"“{target}”" in str(refused.value)
        return
    by = table.rules[target].by or set(Role)
    for role in Role:
        if role in by:
            table.check(source, target, {role})
        else:
            with pytest.raises(IllegalTransition, match="by this role"):
                table.check(source, target, {role})


@pytest.mark.parametrize("name", sorted(tables()))
def test_every_state_can_be_reached_and_ends_as_written_down(name: str):
    table = tables()[name]
    reached = set(table.initial)
    while new := {t for t in table.rules for s in reached if table.allows(s, t)} - reached:
        reached |= new
    assert reached == table.states
    assert table.terminal == TERMINAL.get(name, set())


def test_a_state_that_no_table_knows_is_refused():
    for table in tables().values():
        for known in table.states:
            with pytest.raises(IllegalTransition):
                table.check("no-such-state", known)
            with pytest.raises(IllegalTransition):
                table.check(known, "no-such-state")
