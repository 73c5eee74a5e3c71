"""Checks, installations and publishing end when who they are done for may no longer act, and say why."""

from __future__ import annotations

import pytest
from django.db import transaction

from governance.access.hub import hub
from governance.access.services import resume_tenant, set_user_active, suspend_tenant
from governance.principals import SYSTEM
from governance.tenants.context import platform_scope
from marketplace.distribution import services as distribution
from marketplace.distribution.models import Release
from marketplace.installs import completing
from marketplace.installs.models import Installation
from marketplace.review import checking
from tests.factories.marketplace import approve, publish, reload, run_checks, upload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey", "site")]


def disable(principal) -> None:
    with platform_scope():
        set_user_active(principal=SYSTEM, user_id=principal.user_id, active=False)
    hub.dispatch("membership", str(principal.user_id))


def test_checks_end_in_an_error_that_says_so(partner):
    submission = upload(partner)
    disable(partner)
    with platform_scope(), transaction.atomic():
        runs = list(submission.check_runs.all())
    for run in runs:
        checking.execute(run_id=run.id)
    with platform_scope(), transaction.atomic():
        assert {run.status for run in submission.check_runs.all()} == {"ERROR"}
        assert all("may no longer act" in run.message for run in submission.check_runs.all())
    assert reload(submission).state == "check_error"


def test_a_check_that_never_started_says_so_too(partner):
    submission = upload(partner)
    with platform_scope(), transaction.atomic():
        run = submission.check_runs.first()
    checking.end_revoked("The organisation is suspended.", run_id=run.id)
    with platform_scope(), transaction.atomic():
        run.refresh_from_db()
    assert (run.state, run.status, run.message) == ("done", "ERROR", "The organisation is suspended.")


@pytest.fixture
def version(partner, reviewer):
    return approve(run_checks(upload(partner)), reviewer).version


def test_nothing_of_a_suspended_partner_is_published_until_it_is_resumed(version, partner_org):
    with platform_scope():
        suspend_tenant(principal=SYSTEM, tenant_id=partner_org.id, reason="test")
    hub.dispatch("tenant", str(partner_org.id))
    distribution.publish(plugin_version_id=version.id)
    with platform_scope(), transaction.atomic():
        release = Release.objects.get(plugin_version=version)
    assert (release.state, "suspended" in release.error) == ("queued", True)
    with platform_scope():
        resume_tenant(principal=SYSTEM, tenant_id=partner_org.id, reason="test")
    hub.dispatch("tenant", str(partner_org.id))
    distribution.publish(plugin_version_id=version.id)
    with platform_scope(), transaction.atomic():
        release.refresh_from_db()
    assert release.state == "published"


def test_an_installation_fails_and_leaves_nothing(partner, reviewer, keeper, org):
    version = publish(approve(run_checks(upload(partner)), reviewer)).version
    with platform_scope(), transaction.atomic():
        installation = Installation.objects.create(
            tenant=org, plugin=version.plugin, version=version, requested_by_id=keeper.user_id
        )
    disable(keeper)
    completing.complete(installation_id=installation.id)
    with platform_scope(), transaction.atomic():
        installation.refresh_from_db()
    assert (installation.state, installation.produced) == ("failed", [])
    assert "may no longer act" in installation.error
