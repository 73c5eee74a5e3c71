"""Who plays the demo: names that its clients and the accounts behind them share."""

from __future__ import annotations

from governance.principals import Role

ACCOUNTS_FILE = "demo-accounts.json"

PLATFORM, COMPANY = "platform", "demo"
COMPANY_NAME = "Demo company"
# The partner is not made with the others: it applies on the site's own page and is accepted, as partners are.
PARTNER, PARTNER_NAME, PARTNER_USER = "acme-vision", "Acme Vision", "partner"
# Sits on both sides of the table once the partner exists, to show that nobody decides on work of their own.
BOTH_SIDES = "reviewer-and-partner"

PEOPLE = (
    ("administrator", PLATFORM, Role.PLATFORM_ADMIN),
    ("reviewer", PLATFORM, Role.REVIEWER),
    ("second-reviewer", PLATFORM, Role.REVIEWER),
    (BOTH_SIDES, PLATFORM, Role.REVIEWER),
    ("ethics-officer", PLATFORM, Role.ETHICS_OFFICER),
    ("auditor", PLATFORM, Role.AUDITOR),
    ("tenant-admin", COMPANY, Role.TENANT_ADMIN),
    ("developer", COMPANY, Role.DEVELOPER),
    ("data-scientist", COMPANY, Role.DATA_SCIENTIST),
)
