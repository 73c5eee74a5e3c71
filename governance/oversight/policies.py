"""Who may press and release stop buttons, and who decides where a machine may not."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

PEOPLE = frozenset(
    {Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST, Role.PLATFORM_ADMIN, Role.ETHICS_OFFICER}
)
ACT = frozenset({"oversight:act"})
DECIDE = frozenset({"requests:decide"})
RESPONSIBLE = frozenset({Role.TENANT_ADMIN, Role.PLATFORM_ADMIN, Role.ETHICS_OFFICER})

register(
    ActionRule("oversight.stop.view", roles=PEOPLE, scopes=frozenset({"models:read"})),
    # Pressing is for everybody who works with it, and needs no more than being signed in.
    ActionRule("oversight.stop.press", roles=PEOPLE | {Role.SYSTEM}, person_scopes=ACT),
    ActionRule("oversight.stop.press_tenant", roles=RESPONSIBLE | {Role.SYSTEM}, person_scopes=ACT),
    ActionRule(
        "oversight.stop.press_platform",
        roles=frozenset({Role.PLATFORM_ADMIN, Role.ETHICS_OFFICER, Role.SYSTEM}),
        person_scopes=ACT,
    ),
    ActionRule(
        "oversight.stop.ask_release", roles=RESPONSIBLE, person_scopes=ACT, groups=frozenset({"administer"})
    ),
    ActionRule(
        "oversight.stop.release", roles=RESPONSIBLE, person_scopes=DECIDE, groups=frozenset({"approve"})
    ),
    ActionRule("oversight.task.view", roles=PEOPLE, scopes=frozenset({"models:read"})),
    ActionRule(
        "oversight.task.open",
        roles=frozenset({Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST, Role.SERVICE, Role.SYSTEM}),
        scopes=frozenset({"models:infer"}),
    ),
    ActionRule(
        "oversight.task.decide",
        roles=frozenset({Role.TENANT_ADMIN, Role.DATA_SCIENTIST, Role.ETHICS_OFFICER}),
        person_scopes=DECIDE,
        groups=frozenset({"approve"}),
    ),
    # A gate: what was withheld from whom, and whether its right still stands, is asked with each answer.
    ActionRule(
        "oversight.answer.fetch",
        roles=frozenset({Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST, Role.SERVICE}),
        scopes=frozenset({"models:infer", "skills:invoke"}),
    ),
    # Who decides sees what is withheld: content, with the label of what answered.
    ActionRule(
        "oversight.answer.look",
        roles=frozenset({Role.TENANT_ADMIN, Role.DATA_SCIENTIST, Role.ETHICS_OFFICER}),
        person_scopes=DECIDE,
        groups=frozenset({"read_data"}),
    ),
    ActionRule(
        "oversight.task.appeal",
        roles=frozenset({Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST, Role.SERVICE}),
        scopes=frozenset({"models:infer"}),
    ),
    ActionRule(
        "oversight.rule.manage",
        roles=frozenset({Role.TENANT_ADMIN}),
        person_scopes=frozenset({"tenant:manage"}),
        groups=frozenset({"administer"}),
    ),
)
