"""Who may see and decide ethics approvals."""

from governance.access.decisions import ActionRule, register
from governance.principals import Role

register(
    ActionRule(
        "ethics.approval.view",
        roles=frozenset(
            {Role.ETHICS_OFFICER, Role.PLATFORM_ADMIN, Role.AUDITOR, Role.REVIEWER, Role.PARTNER}
        ),
        scopes=frozenset({"plugins:read"}),
    ),
    ActionRule(
        "ethics.approval.request",
        roles=frozenset({Role.PARTNER, Role.TENANT_ADMIN, Role.SYSTEM}),
        scopes=frozenset({"plugins:write"}),
    ),
    ActionRule(
        "ethics.approval.decide", roles=frozenset({Role.ETHICS_OFFICER}), groups=frozenset({"approve"})
    ),
)
