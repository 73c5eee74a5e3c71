"""Calling skills: who may, with what, what it costs to misbehave, and what is kept of it."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.test import Client

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, InvalidInput, NotFound, TooLarge
from governance.principals import Role
from governance.tenants.context import tenant_context
from skills.library.models import SkillCall
from skills.library.services import activate_version, grant_invoke, retire_version, revoke_invoke
from skills.runtime.sandbox import sandbox_available
from skills.runtime.services import SkillFailed, SkillTimedOut, invoke_skill
from tests.factories.governance import bearer_token, make_application
from tests.factories.skills import make_skill

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture(autouse=True)
def sandbox():
    assert sandbox_available().ok, sandbox_available().reason


@pytest.fixture
def admin(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def developer(org, principal_for):
    return principal_for(org, Role.DEVELOPER)


def invoke(principal, payload, **more):
    with tenant_context(principal.tenant_id):
        return invoke_skill(principal=principal, name="double", payload=payload, **more)


def calls(tenant):
    with tenant_context(tenant.id), transaction.atomic():
        return list(SkillCall.objects.order_by("id").values_list("status", flat=True))


def test_a_call_is_answered_and_kept(admin, developer, org):
    version = make_skill(admin)
    result = invoke(developer, {"n": 21})
    assert result.output == {"double": 42}
    assert (result.version, result.sha256) == ("1.0.0", version.sha256)
    with tenant_context(org.id), transaction.atomic():
        call = SkillCall.objects.get()
        assert (call.status, call.sha256, call.principal_id) == ("ok", version.sha256, developer.id)
        assert 0 < call.wall_s < 5
        entry = AuditEntry.objects.order_by("-sequence").first()
        assert (entry.action, entry.target_digest) == ("library.skill.invoke", version.sha256)


def test_input_is_held_against_the_schema(admin, developer, org):
    make_skill(admin)
    with pytest.raises(InvalidInput) as caught:
        invoke(developer, {"n": "many"})
    assert caught.value.errors[0]["pointer"] == "/n"
    with pytest.raises(TooLarge):
        invoke(developer, {"n": 1, "more": "x" * 300_000})
    assert calls(org) == ["invalid-input"]


MISBEHAVING = {
    "invalid-output": ("def run(payload):\n    return {'double': 'secret'}\n", SkillFailed, "its own schema"),
    "error": ("def run(payload):\n    raise ValueError('secret')\n", SkillFailed, "ended with an error"),
    "timeout": ("import time\ndef run(payload):\n    time.sleep(30)\n", SkillTimedOut, "within 0.5 seconds"),
    "memory": ("def run(payload):\n    return bytearray(1 << 32)\n", SkillFailed, "memory"),
}


@pytest.mark.parametrize("status", MISBEHAVING)
def test_what_goes_wrong_is_told_without_the_skills_own_words(admin, developer, org, status):
    code, error, words = MISBEHAVING[status]
    make_skill(admin, code=code, timeout_s=0.5 if status == "timeout" else 5)
    with pytest.raises(error) as caught:
        invoke(developer, {"n": 1})
    assert words in str(caught.value.message)
    assert "secret" not in str(caught.value)
    assert calls(org) == [status]


def test_versions_upgrade_and_return(admin, developer, org):
    first = make_skill(admin)
    make_skill(admin, version="2.0.0", code="def run(payload):\n    return {'double': 0}\n")
    assert invoke(developer, {"n": 1}).output == {"double": 0}
    assert invoke(developer, {"n": 1}, version="1.0.0").output == {"double": 2}
    with tenant_context(org.id):
        activate_version(principal=admin, version_id=first.id)
        assert invoke(developer, {"n": 1}).output == {"double": 2}
        retire_version(principal=admin, version_id=first.id, reason="faulty")
    with pytest.raises(NotFound):
        invoke(developer, {"n": 1})


def test_another_tenant_has_no_such_skill(admin, other_org, principal_for):
    make_skill(admin)
    with pytest.raises(NotFound):
        invoke(principal_for(other_org, Role.TENANT_ADMIN), {"n": 1})


def test_partners_and_ungranted_services_may_not(admin, org, partner_org, principal_for):
    make_skill(admin)
    service = principal_for(org, Role.SERVICE)
    with pytest.raises(AccessDenied):
        invoke(service, {"n": 1})


def test_rest_with_a_real_token(admin, org):
    version = make_skill(admin)
    application, secret = make_application(org, scopes=["skills:invoke"])
    headers = {"Authorization": f"Bearer {bearer_token(application, secret)}"}

    def post(body):
        return Client().post(
            "/api/v1/skills/double/invoke", body, content_type="application/json", headers=headers
        )

    assert post({"input": {"n": 1}}).status_code == 403
    with tenant_context(org.id):
        grant_invoke(principal=admin, skill_id=version.skill_id, application_id=application.id)
    answer = post({"input": {"n": 4}})
    assert answer.status_code == 200, answer.content
    assert answer.json()["output"] == {"double": 8}
    wrong = post({"input": {"n": 1.5}})
    assert (wrong.status_code, wrong["Content-Type"]) == (400, "application/problem+json")
    assert wrong.json()["errors"][0]["pointer"] == "/n"
    assert post({}).status_code == 400
    with tenant_context(org.id):
        revoke_invoke(principal=admin, skill_id=version.skill_id, application_id=application.id)
    assert post({"input": {"n": 4}}).status_code == 403
    assert Client().post("/api/v1/skills/double/invoke", {}).status_code == 401


def test_lists_and_grants_over_rest(admin, org, member):
    make_skill(admin)
    application, _secret = make_application(org, scopes=["skills:invoke"])
    browser = Client()
    browser.force_login(member(org, Role.TENANT_ADMIN), backend="django.contrib.auth.backends.ModelBackend")
    found = browser.get("/api/v1/skills/").json()["results"]
    assert [skill["name"] for skill in found] == ["double"]
    assert browser.get("/api/v1/skills/double/").json()["active_version"]["version"] == "1.0.0"
    assert browser.put(f"/api/v1/skills/double/grants/{application.id}").status_code == 204
    assert browser.delete(f"/api/v1/skills/double/grants/{application.id}").status_code == 204
    assert browser.get("/api/v1/skills/unknown/").status_code == 404
