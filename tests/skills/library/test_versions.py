"""Registering skills: idempotent, content-addressed, with schemas that are safe to evaluate."""

from __future__ import annotations

import pytest
from django.db import transaction

from governance.errors import AccessDenied, Conflict, IllegalTransition, InvalidInput, NotFound
from governance.principals import Role
from governance.tenants.context import tenant_context
from skills.library import services
from skills.library.bundles import bundle_digest, bundle_path, store_bundle
from skills.library.models import Skill, SkillVersion
from skills.library.schemas import check_schema, problems
from skills.library.selectors import callable_version, visible_skills
from skills.library.states import VERSION_STATES
from tests.factories.skills import make_skill
from tests.states import assert_complete, assert_step, every_step

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.mark.parametrize(("source", "target"), every_step(VERSION_STATES))
def test_states(source, target):
    steps = {("ready", "held"), ("held", "ready"), ("ready", "retired"), ("held", "retired")}
    assert_step(VERSION_STATES, source, target, steps)


def test_state_table_is_complete():
    assert_complete(VERSION_STATES, SkillVersion.State.values)


def test_a_bundle_is_kept_whole_read_only_and_under_its_digest(admin):
    version = make_skill(admin)
    script = version.bundle / "skills/double/scripts/skill.py"
    assert version.bundle == bundle_path(version.sha256)
    assert bundle_digest(version.bundle) == version.sha256
    assert script.stat().st_mode & 0o777 == 0o444
    assert not list(version.bundle.parent.glob(".incoming-*"))


def test_the_same_again_changes_nothing_and_other_bytes_conflict(admin, org):
    first = make_skill(admin)
    assert make_skill(admin) == first
    with pytest.raises(Conflict, match="another content"):
        make_skill(admin, code="def run(payload):\n    return {}\n")
    with tenant_context(org.id), transaction.atomic():
        assert SkillVersion.objects.count() == 1


def test_a_damaged_bundle_is_replaced(admin):
    version = make_skill(admin)
    script = version.bundle / "skills/double/scripts/skill.py"
    script.chmod(0o600)
    script.write_text("changed")
    make_skill(admin)
    assert bundle_digest(version.bundle) == version.sha256


def test_links_and_empty_bundles_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="empty"):
        store_bundle(tmp_path)
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInput, match="plain files"):
        store_bundle(tmp_path)
    with pytest.raises(NotFound):
        store_bundle(tmp_path / "nothing")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Not A Name"},
        {"version": "../1"},
        {"entrypoint": "../../etc/passwd.py:run"},
        {"entrypoint": "/abs.py:run"},
        {"entrypoint": "skills/double/scripts/other.py:run"},
        {"timeout_s": 0},
        {"timeout_s": 61},
        {"memory_mb": 100_000},
        {"input_schema": {"type": "no-such-type"}},
        {"input_schema": {"$ref": "http://127.0.0.1/schema.json"}},
        {"output_schema": {"properties": {"x": {"$ref": "file:///etc/passwd"}}}},
        {"output_schema": []},
    ],
    ids=str,
)
def test_what_is_not_acceptable_leaves_nothing(admin, org, wrong):
    with pytest.raises(InvalidInput):
        make_skill(admin, **wrong)
    with tenant_context(org.id), transaction.atomic():
        assert not Skill.objects.exists()


@pytest.mark.timeout(10)
def test_a_publishers_pattern_cannot_stop_the_process():
    schema = {"type": "string", "pattern": "^(a|a)*$"}
    check_schema(schema, "input_schema")
    assert problems(schema, "a" * 5_000 + "b")
    assert not problems(schema, "aaa")


def test_upgrade_return_and_retirement(admin, org):
    first = make_skill(admin)
    second = make_skill(admin, version="2.0.0")
    with tenant_context(org.id):
        with transaction.atomic():
            assert callable_version(tenant_id=org.id, name="double") == second
        services.activate_version(principal=admin, version_id=first.id)
        services.retire_version(principal=admin, version_id=first.id, reason="")
        with transaction.atomic():
            assert callable_version(tenant_id=org.id, name="double") is None
            assert callable_version(tenant_id=org.id, name="double", version="2.0.0") == second
        with pytest.raises(Conflict, match="retired"):
            services.activate_version(principal=admin, version_id=first.id)
        with pytest.raises(IllegalTransition):
            services.retire_version(principal=admin, version_id=first.id, reason="")


def test_who_may(admin, org, other_org, principal_for):
    version = make_skill(admin)
    with pytest.raises(AccessDenied):
        make_skill(principal_for(org, Role.DEVELOPER), version="3.0.0")
    stranger = principal_for(other_org, Role.TENANT_ADMIN)
    with tenant_context(other_org.id):
        with pytest.raises(NotFound):
            services.retire_version(principal=stranger, version_id=version.id, reason="")
        with transaction.atomic():
            assert not visible_skills(stranger).exists()
