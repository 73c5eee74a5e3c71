"""The auditor's journey in Chromium: the log, a green answer, a red one after tampering, and the tenant's holds."""

from __future__ import annotations

import psycopg
import pytest
from playwright.sync_api import expect

from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SLOW_MS = 60_000


@pytest.fixture
def entries(platform, org, member):
    from governance.audit.heads import sign_heads
    from governance.audit.services import record

    member(platform, Role.AUDITOR, username="otto")
    member(org, Role.TENANT_ADMIN, username="tom")
    with platform_scope():
        for number in range(30):
            record(
                principal=SYSTEM,
                action="registry.version.hold" if number % 7 else "access.grant.manage",
                tenant_id=org.id,
                reason="Its evaluation is older than the data." if number % 7 else "",
                decision="allow" if number % 5 else "deny",
            )
    sign_heads()


def test_from_the_log_to_a_red_chain(org, entries, open_as, keep, services):
    auditor = open_as("otto")
    auditor.goto("/console/audit/log/")
    keep(auditor, "audit-log")
    auditor.get_by_label("Action (its beginning)").fill("access.grant")
    auditor.get_by_role("button", name="Search").click()
    expect(auditor.locator("tbody tr")).to_have_count(5)
    with auditor.expect_download() as downloaded:
        auditor.get_by_role("link", name="CSV").click()
    assert len(downloaded.value.path().read_text().splitlines()) == 6

    auditor.get_by_role("link", name="Chain verification").click()
    verify = auditor.get_by_role("button", name=f"Verify the chain of {org.name}")
    row = auditor.locator("tr", has_text=org.name)
    verify.click()
    expect(row.locator(".badge.good")).to_have_text("the chain holds", timeout=SLOW_MS)
    keep(auditor, "audit-chain-green")

    dsn = services.postgres.superuser_dsn.replace("/postgres?", "/test_openclaw?")
    with psycopg.connect(dsn, autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute("UPDATE audit_auditentry SET reason = 'x' WHERE sequence = 12")
    verify.click()
    expect(row.locator(".badge.bad")).to_have_text("the chain is broken", timeout=SLOW_MS)
    expect(row).to_contain_text("entry 12 was changed after it was written")
    keep(auditor, "audit-chain-red")


def test_a_hold_on_a_phone(org, entries, open_as, keep):
    tenant = open_as("tom")
    tenant.set_viewport_size({"width": 390, "height": 844})
    tenant.goto("/console/audit/keeping/")
    form = tenant.locator("form", has=tenant.get_by_role("button", name="Set the hold"))
    form.get_by_label("Reason").fill("The supervisor asks about March.")
    form.get_by_role("button", name="Set the hold").click()
    expect(tenant.locator(".checks .badge.warn")).to_have_text("in force")
    expect(tenant.locator("#content")).to_contain_text("somebody else must release it")
    keep(tenant, "audit-keeping-phone")
    tenant.goto("/console/audit/log/")
    keep(tenant, "audit-log-phone")
    tenant.goto("/console/audit/chains/")
    keep(tenant, "audit-chains-phone")
