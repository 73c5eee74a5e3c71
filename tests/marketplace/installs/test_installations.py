"""From a published version to models, endpoints and skills in a tenant."""

from __future__ import annotations

import pytest
from django.db import transaction

from governance.errors import AccessDenied, Conflict, InvalidInput, NotFound
from governance.tenants.context import platform_scope, tenant_context
from inference.registry.models import ModelVersion
from inference.rollouts.selectors import endpoint_snapshot
from marketplace.catalog.models import PluginVersion
from marketplace.catalog.selectors import catalogue
from marketplace.catalog.services import block_version
from marketplace.distribution.services import withdraw
from marketplace.installs import completing, selectors, services
from marketplace.installs.models import Installation
from skills.library.models import SkillVersion
from tests.factories.marketplace import acting, approve, package, publish, run_checks, upload

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey", "site")]
HOST = "api.example.com"
ASKS = {
    "permissions": {
        "network": {"allow": [HOST]},
        "files": {"read": [], "write": []},
        "secrets": [],
        "tools": [],
    }
}


@pytest.fixture
def release(partner, reviewer, second_reviewer):
    def make(version="1.0.0", **extension) -> PluginVersion:
        submission = run_checks(upload(partner, package(version=version, **extension)))
        people = (reviewer, second_reviewer)[: submission.approvals_needed]
        submission = publish(approve(submission, *people))
        assert submission.state == "published"
        assert submission.version is not None
        return submission.version

    return make


@pytest.fixture
def install(keeper):
    def make(version, grants=()) -> Installation:
        with acting(keeper):
            installation = services.install(
                principal=keeper, plugin_version_id=version.id, grants=list(grants)
            )
        return finish(installation)

    return make


def finish(installation) -> Installation:
    completing.complete(installation_id=installation.id)
    with platform_scope(), transaction.atomic():
        return Installation.objects.select_related("active_version", "version").get(pk=installation.id)


def test_a_published_version_becomes_a_model_an_endpoint_and_a_skill(release, install, org):
    installed = install(release())
    assert (installed.state, installed.error) == ("active", "")
    assert [item["kind"] for item in installed.produced] == ["model_version", "endpoint", "skill_version"]
    with tenant_context(org.id), transaction.atomic():
        arms = endpoint_snapshot(org.id, "scorer").arms
        assert [(arm.version, arm.weight) for arm in arms] == [("1.0.0", 100)]
        assert SkillVersion.objects.get().source_digest == installed.version.sha256


def test_an_upgrade_waits_beside_the_old_version_for_its_traffic(release, install, keeper, org):
    installed = install(release())
    newer = release("1.1.0", **ASKS)
    with acting(keeper), transaction.atomic():
        changes = selectors.permission_changes(
            selectors.get_installation(principal=keeper, installation_id=installed.id), newer
        )
        assert (changes.added, changes.removed) == ([f"network:{HOST}"], [])
        with pytest.raises(InvalidInput) as refused:
            services.upgrade(
                principal=keeper, installation_id=installed.id, plugin_version_id=newer.id, grants=[]
            )
        assert f"network:{HOST}" in refused.value.hint
        services.upgrade(
            principal=keeper,
            installation_id=installed.id,
            plugin_version_id=newer.id,
            grants=[f"network:{HOST}"],
        )
    installed = finish(installed)
    assert installed.state == "active"
    assert installed.active_version.version == "1.1.0"
    with tenant_context(org.id), transaction.atomic():
        ready = set(ModelVersion.objects.filter(state="ready").values_list("version", flat=True))
        assert ready == {"1.0.0", "1.1.0"}
        assert [(a.version, a.weight) for a in endpoint_snapshot(org.id, "scorer").arms] == [("1.0.0", 100)]
        assert selectors.granted(selectors.installations().get()) == [f"network:{HOST}"]


@pytest.mark.parametrize("grants", [[], ["network:other.example.com"], [f"network:{HOST}", "secrets:x"]])
def test_other_rights_than_asked_for_are_refused(release, keeper, grants):
    version = release(**ASKS)
    with acting(keeper), pytest.raises(InvalidInput) as refused:
        services.install(principal=keeper, plugin_version_id=version.id, grants=grants)
    assert refused.value.code == "grants-differ"


def test_doing_it_twice_changes_nothing(release, install, keeper):
    version = release()
    first = install(version)
    assert install(version).id == first.id
    with platform_scope(), transaction.atomic():
        assert Installation.objects.count() == ModelVersion.objects.count() == 1


def test_another_tenant_sees_nothing_of_it(release, install, other_org, principal_for):
    from governance.principals import Role

    installed = install(release())
    stranger = principal_for(other_org, Role.TENANT_ADMIN)
    with acting(stranger), transaction.atomic():
        assert not selectors.installations().exists()
        with pytest.raises(NotFound):
            services.uninstall(principal=stranger, installation_id=installed.id)


def test_a_developer_may_not_install(release, principal_for, org):
    from governance.principals import Role

    version = release()
    developer = principal_for(org, Role.DEVELOPER)
    with acting(developer), pytest.raises(AccessDenied):
        services.install(principal=developer, plugin_version_id=version.id, grants=[])


def test_a_version_in_review_cannot_be_installed(partner, keeper):
    submission = run_checks(upload(partner))
    with acting(keeper), pytest.raises(NotFound):
        services.install(principal=keeper, plugin_version_id=submission.version_id, grants=[])


def test_a_blocked_version_leaves_the_repository_and_suspends_installations(
    release, install, administrator, keeper, site
):
    version = release()
    installed = install(version)
    with acting(administrator):
        block_version(principal=administrator, version_id=version.id, reason="It calls home.")
    withdraw(plugin_version_id=version.id)
    assert not list((site / "tuf" / "targets").rglob("*.zip"))
    with acting(keeper), transaction.atomic():
        current = selectors.get_installation(principal=keeper, installation_id=installed.id)
        assert (current.state, current.reason) == ("suspended", "It calls home.")
        assert not catalogue().exists()
        with pytest.raises(NotFound):
            services.install(principal=keeper, plugin_version_id=version.id, grants=[])


def test_a_changed_file_in_the_repository_is_not_installed(release, keeper, site):
    version = release()
    (target,) = (site / "tuf" / "targets").rglob("*.zip")
    target.write_bytes(target.read_bytes()[:-1] + b"!")
    with acting(keeper):
        installation = services.install(principal=keeper, plugin_version_id=version.id, grants=[])
    failed = finish(installation)
    assert failed.state == "failed"
    assert "trusted" in failed.error
    assert failed.active_version is None


def test_a_lost_worker_loses_nothing(release, keeper, monkeypatch):
    """The lease of the lost one keeps a second worker out until it ends."""
    from django.utils import timezone

    version = release()
    with acting(keeper):
        installation = services.install(principal=keeper, plugin_version_id=version.id, grants=[])
    assert completing._begin(installation.id) is not None  # this worker is killed here
    assert completing._begin(installation.id) is None
    with platform_scope(), transaction.atomic():
        Installation.objects.update(lease_until=timezone.now())
    assert completing.resume_stalled() == 1
    assert finish(installation).state == "active"


def test_uninstalling_takes_rights_and_skills_away(release, install, keeper, org):
    installed = install(release())
    with acting(keeper):
        services.uninstall(principal=keeper, installation_id=installed.id)
        with pytest.raises(Conflict):
            services.uninstall(principal=keeper, installation_id=installed.id)
    completing.clear(installation_id=installed.id)
    with tenant_context(org.id), transaction.atomic():
        assert SkillVersion.objects.get().state == "retired"
        assert ModelVersion.objects.get().state == "ready"  # its endpoint still receives traffic


def arms(org):
    return [(arm.version, arm.weight) for arm in endpoint_snapshot(org.id, "scorer").arms]


def callable_skills(org):
    with tenant_context(org.id), transaction.atomic():
        return set(SkillVersion.objects.filter(state="ready").values_list("version", flat=True))


def test_a_blocked_version_answers_nothing_any_more(release, install, administrator, org):
    version = release()
    install(version)
    with acting(administrator):
        block_version(principal=administrator, version_id=version.id, reason="It calls home.")
    assert (arms(org), callable_skills(org)) == ([], set())


def test_blocking_an_older_version_leaves_the_newer_one_at_work(release, install, keeper, administrator, org):
    older = release()
    installed = install(older)
    newer = release("1.1.0")
    with acting(keeper):
        services.upgrade(
            principal=keeper, installation_id=installed.id, plugin_version_id=newer.id, grants=[]
        )
    finish(installed)
    with acting(administrator):
        block_version(principal=administrator, version_id=older.id, reason="It calls home.")
    assert callable_skills(org) == {"1.1.0"}
    with tenant_context(org.id), transaction.atomic():
        assert selectors.installations().get().state == "active"
        assert set(ModelVersion.objects.filter(state="held").values_list("version", flat=True)) == {"1.0.0"}


def test_a_suspended_plugin_works_again_with_its_old_traffic_after_an_upgrade(release, install, keeper, org):
    version = release()
    installed = install(version)
    with acting(keeper):
        services.suspend(principal=keeper, installation_id=installed.id, reason="Looking into it.")
    assert (arms(org), callable_skills(org)) == ([], set())
    with acting(keeper):
        services.upgrade(
            principal=keeper, installation_id=installed.id, plugin_version_id=version.id, grants=[]
        )
    assert finish(installed).state == "active"
    assert (arms(org), callable_skills(org)) == ([("1.0.0", 100)], {"1.0.0"})
