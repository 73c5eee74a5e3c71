"""The pages: from a draft to what is in force, mistakes at their lines, what-if, and why something was refused."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.test import Client

from governance.access.recorder import recorder
from governance.audit.models import AuditEntry
from governance.policies.models import DecisionRecord, PolicyVersion
from governance.principals import Role
from governance.tenants.context import platform_scope
from tests.factories.governance import make_member
from tests.factories.policies import NO_BATCH

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

PAGES = "/console/policies/"


def signed_in(tenant, *roles, username="") -> Client:
    browser = Client()
    browser.force_login(
        make_member(tenant, *roles, username=username), backend="django.contrib.auth.backends.ModelBackend"
    )
    return browser


@pytest.fixture
def first(org) -> Client:
    return signed_in(org, Role.TENANT_ADMIN, username="anna")


@pytest.fixture
def other(org) -> Client:
    return signed_in(org, Role.TENANT_ADMIN, username="bert")


def newest() -> PolicyVersion:
    with platform_scope(), transaction.atomic():
        return PolicyVersion.objects.order_by("-number").first()


def proposed(browser: Client, text: str = NO_BATCH) -> PolicyVersion:
    answer = browser.post(PAGES + "new/", {"text": text, "note": "as agreed", "then": "propose"})
    assert answer.status_code == 302, answer.content.decode()
    return newest()


def test_from_a_draft_to_force_and_back(first, other):
    assert "batch-in-the-evening" in first.get(PAGES + "new/").content.decode()
    version = proposed(first)
    page = f"{PAGES}versions/{version.id}/"
    assert "somebody else puts it in force" in first.get(page).content.decode()
    assert "Put in force" in other.get(page).content.decode()
    assert first.post(page + "activate/").status_code == 403
    assert other.post(page + "activate/", {"reason": "agreed"}).status_code == 302
    listing = first.get(PAGES).content.decode()
    assert "In force now" in listing
    assert "no-batch" in listing
    second = proposed(other, NO_BATCH.replace("no-batch", "no-batch-at-all"))
    diff = first.get(f"{PAGES}versions/{second.id}/").content.decode()
    assert '<span class="add">+@id(&quot;no-batch-at-all&quot;)</span>' in diff
    assert '<span class="del">-@id(&quot;no-batch&quot;)</span>' in diff
    assert first.post(f"{PAGES}versions/{second.id}/activate/").status_code == 302
    assert first.post(page + "roll-back/", {"reason": "too much"}).status_code == 302
    assert (newest().number, newest().state, newest().digest) == (3, "proposed", version.digest)
    assert other.post(f"{PAGES}versions/{newest().id}/withdraw/").status_code == 302
    assert newest().state == "withdrawn"


def test_mistakes_are_shown_at_their_lines_and_the_text_is_not_lost(first):
    text = NO_BATCH.replace("serving.batch.create", "serving.batch.crate")
    answer = first.post(PAGES + "new/", {"text": text, "then": "propose"})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "Line 5, column 38" in page
    assert "Did you mean: serving.batch.create" in page
    assert "crate" in page.partition("<textarea")[2]
    assert "good: it can be proposed" in first.post(PAGES + "check/", {"text": NO_BATCH}).content.decode()
    assert "Line 1" in first.post(PAGES + "check/", {"text": "(" * 100_000}).content.decode()


def test_a_policy_that_locks_everybody_out_is_explained(first):
    answer = first.post(
        PAGES + "new/", {"text": '@id("a") forbid (principal, action, resource);', "then": "propose"}
    )
    assert answer.status_code == 400
    assert "nobody could change the policies again" in answer.content.decode()


def test_drafts_can_be_kept_and_changed(first):
    first.post(PAGES + "new/", {"text": "not yet", "then": "keep"})
    page = f"{PAGES}versions/{newest().id}/"
    assert "Edit" in first.get(page).content.decode()
    refused = first.post(page + "propose/")
    assert refused.status_code == 400
    assert "unexpected" in refused.content.decode()
    first.post(page + "edit/", {"text": NO_BATCH, "then": "propose"})
    assert newest().state == "proposed"


def test_the_what_if_panel_says_who_would_be_refused(first, org):
    scientist = signed_in(org, Role.DATA_SCIENTIST, username="carl")
    scientist.post("/console/batch/new/", {})
    scientist.get("/console/batch/")
    recorder.flush()
    text = NO_BATCH.replace(
        '== Action::"serving.batch.create"',
        'in [Action::"serving.batch.view", Action::"serving.batch.request"]',
    )
    panel = first.post(PAGES + "what-if/", {"text": text, "hours": "24"}).content.decode()
    assert "newly be refused" in panel
    assert "carl" in panel
    assert "no-batch" in panel
    assert "Line 1" in first.post(PAGES + "what-if/", {"text": "(", "hours": "24"}).content.decode().replace(
        "line", "Line"
    )
    assert (
        "hours can be looked at"
        in first.post(PAGES + "what-if/", {"text": "", "hours": "x"}).content.decode()
    )


def test_why_was_this_refused_in_words(first, other, org):
    version = proposed(first)
    other.post(f"{PAGES}versions/{version.id}/activate/")
    developer = signed_in(org, Role.DEVELOPER, username="dora")
    refused = developer.get(PAGES, headers={"X-Request-ID": "the-request"})
    assert refused.status_code == 403
    link = f"{PAGES}why/request/the-request/"
    assert link in refused.content.decode()
    page = developer.get(link).content.decode()
    assert "None of the roles that were held allows this action." in page
    assert "One of the roles" in page
    assert "Tenant administrator" in page
    assert "anna" not in page
    shown = first.get(link).content.decode()
    assert "anna" in shown
    assert "bert" in shown


def test_a_policys_refusal_shows_its_text_and_help(first, other, org):
    version = proposed(first, NO_BATCH.replace("serving.batch.create", "tenants.membership.view"))
    other.post(f"{PAGES}versions/{version.id}/activate/")
    recorder.flush()
    with platform_scope(), transaction.atomic():
        DecisionRecord.objects.all().delete()
    from governance.access.decisions import require
    from governance.access.principals import principal_for_user
    from governance.errors import AccessDenied
    from tests.factories.governance import make_member, proven

    person = principal_for_user(
        make_member(org, Role.TENANT_ADMIN, username="emil"), tenant_id=org.id, signals=proven()
    )
    with pytest.raises(AccessDenied):
        require(person, "tenants.membership.view")
    recorder.flush()
    listing = first.get(PAGES + "decisions/").content.decode()
    assert "emil" in listing
    with platform_scope(), transaction.atomic():
        record = DecisionRecord.objects.get(enforced=True, allow=False)
    page = first.get(f"{PAGES}why/decision/{record.id}/").content.decode()
    assert "Batch jobs wait until the bank has decided about them." in page
    assert "Ask the data office." in page
    assert "your organisation, Version 1" in page
    assert "tenants.membership.view" in page
    answer = first.get(f"/api/v1/decisions/{record.id}/why/").json()
    assert answer["causes"][0]["rule"] == "no-batch"
    assert answer["missing"] == ["Ask the data office."]


def test_a_refusal_is_told_to_its_own_person_and_to_administrators_only(first, org, other_org):
    developer = signed_in(org, Role.DEVELOPER)
    developer.get(PAGES)
    recorder.flush()
    with platform_scope(), transaction.atomic():
        entry = AuditEntry.objects.get(decision="deny")
        record = DecisionRecord.objects.get(enforced=True, allow=False)
    neighbour, colleague = signed_in(other_org, Role.TENANT_ADMIN), signed_in(org, Role.DEVELOPER)
    for page in (f"{PAGES}why/audit/{entry.id}/", f"{PAGES}why/decision/{record.id}/"):
        assert [browser.get(page).status_code for browser in (developer, first, colleague, neighbour)] == [
            200,
            200,
            404,
            404,
        ]
    assert colleague.get(f"/api/v1/decisions/{record.id}/").status_code == 404
    assert [
        row["id"] for row in developer.get("/api/v1/decisions/?allow=false&enforced=true").json()["results"]
    ] == [str(record.id)]


def test_the_products_rules_can_be_read(first):
    page = first.get(PAGES + "shipped/").content.decode()
    assert "openclaw.nobody-approves-own-request" in page
    assert "policies.version.activate" in page


def test_pages_are_closed_to_others(org):
    developer = signed_in(org, Role.DEVELOPER)
    for page in ("", "new/", "shipped/"):
        assert developer.get(PAGES + page).status_code == 403
    for page in ("check/", "what-if/"):
        assert developer.post(PAGES + page).status_code == 403


def test_rest_from_a_draft_to_force(first, other):
    api = "/api/v1/policy-versions/"
    json = "application/json"
    checked = first.post(api + "validate/", {"text": "forbid("}, json).json()
    assert not checked["valid"]
    assert checked["problems"][0]["line"] == 1
    assert first.post(api + "validate/", {"text": NO_BATCH}, json).json() == {"valid": True, "problems": []}
    draft = first.post(api, {"text": "forbid("}, json).json()
    refused = first.post(f"{api}{draft['id']}/propose/", {}, json)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["line"] == 1
    assert first.put(f"{api}{draft['id']}/", {"text": NO_BATCH, "note": "n"}, json).json()["note"] == "n"
    assert first.post(f"{api}{draft['id']}/propose/", {}, json).json()["state"] == "proposed"
    assert first.post(f"{api}{draft['id']}/activate/", {}, json).status_code == 403
    assert other.post(f"{api}{draft['id']}/activate/", {"reason": "yes"}, json).json()["state"] == "active"
    assert [row["number"] for row in first.get(api + "?state=active").json()["results"]] == [1]
    report = first.post(api + "what-if/", {"text": ""}, json).json()
    assert report["decisions"] >= report["examined"]
    again = first.post(f"{api}{draft['id']}/roll-back/", {}, json)
    assert again.status_code == 409
    assert first.post(api, {"text": "x" * 300_000}, json).status_code == 413
