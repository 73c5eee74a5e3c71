"""The auditor's pages and the REST API: who may what, and what they show."""

from __future__ import annotations

import json

import pytest
from django.db import transaction
from django.test import AsyncClient, Client

from governance.audit import runs
from governance.audit.models import AuditEntry, ChainVerification, LegalHold, RetentionPolicy
from governance.audit.runs import run_verification, start_verification, verify_all
from governance.audit.tasks import verify_chain
from governance.principals import SYSTEM, Role
from governance.tenants.context import platform_scope, tenant_context
from openclaw_site import metrics, readiness

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]

BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def browser(member):
    def signed_in(tenant, *roles, kind=Client):
        made = kind()
        made.force_login(member(tenant, *roles), backend=BACKEND)
        return made

    return signed_in


@pytest.fixture
def sent(monkeypatch):
    tasks = []
    monkeypatch.setattr(runs, "enqueue", lambda name, **given: tasks.append((name, given)))
    return tasks


def latest(tenant):
    with platform_scope(), transaction.atomic():
        return ChainVerification.objects.filter(tenant=tenant).order_by("-id").first()


def test_the_log_is_searched_on_its_page(org, platform, entries, browser):
    auditor = browser(platform, Role.AUDITOR)
    page = auditor.get("/console/audit/log/", {"action": "test.thing", "since": "2020-01-01"})
    assert page.status_code == 200
    assert page.content.decode().count("<code>test.thing.change</code>") == 3
    assert b"No entry matches" in auditor.get("/console/audit/log/", {"actor": "nobody"}).content
    wrong = auditor.get("/console/audit/log/", {"since": "yesterday"})
    assert wrong.status_code == 200
    assert b'role="alert"' in wrong.content
    assert auditor.get("/console/audit/log/", {"after": "x"}).status_code == 400
    assert auditor.get(f"/console/audit/auditentry/{entries[0].pk}/change/").status_code == 200


def test_older_entries_are_a_link_away(org, platform, write, browser):
    write(org, 60)
    auditor = browser(platform, Role.AUDITOR)
    page = auditor.get("/console/audit/log/", {"action": "test."})
    assert page.context["next"]
    older = auditor.get(f"/console/audit/log/?{page.context['next']}")
    assert len(older.context["page"].rows) == 10


@pytest.mark.parametrize("path", ["log/", "log/export/", "chains/", "keeping/"])
def test_the_pages_are_closed_to_others(org, entries, browser, path):
    assert browser(org, Role.DEVELOPER).get(f"/console/audit/{path}").status_code == 403


async def test_an_export_is_streamed_by_the_real_kind_of_server(org, platform, write, member):
    from asgiref.sync import sync_to_async

    await sync_to_async(write)(org, 3)
    client = AsyncClient()
    await client.aforce_login(await sync_to_async(member)(platform, Role.AUDITOR), backend=BACKEND)
    for path, given in (("/console/audit/log/export/", {}), ("/api/v1/audit-export/", {"file": "csv"})):
        answer = await client.get(path, {"action": "test.", **given})
        assert answer.status_code == 200
        body = b"".join([piece async for piece in answer.streaming_content]).decode()
        assert len(body.splitlines()) == 4
        assert answer["Content-Type"].startswith("text/csv")
        assert "no-store" in answer["Cache-Control"]


def test_an_export_over_rest_is_recorded(org, entries, browser):
    admin = browser(org, Role.TENANT_ADMIN)
    answer = admin.get("/api/v1/audit-export/", {"file": "jsonl", "action": "test."})
    assert len(b"".join(answer.streaming_content).splitlines()) == 3
    assert admin.get("/api/v1/audit-export/", {"file": "xml"}).status_code == 400
    assert admin.get("/api/v1/audit-export/", {"since": "yesterday"}).status_code == 400
    with platform_scope(), transaction.atomic():
        assert AuditEntry.objects.filter(action="audit.entry.export").count() == 1


def test_the_list_takes_the_same_filters_and_pages_by_key(org, other_org, write, browser):
    write(org, 5)
    write(other_org, 1)
    admin = browser(org, Role.TENANT_ADMIN)
    first = admin.get("/api/v1/audit-entries/", {"action": "test.", "page_size": 2}).json()
    assert [row["sequence"] for row in first["results"]] == [5, 4]
    second = admin.get(first["next"]).json()
    assert [row["sequence"] for row in second["results"]] == [3, 2]
    assert admin.get("/api/v1/audit-entries/", {"tenant": str(other_org.id)}).json()["results"] == []
    assert admin.get("/api/v1/audit-entries/", {"decision": "maybe"}).status_code == 400
    one = first["results"][0]
    assert admin.get(f"/api/v1/audit-entries/{one['id']}/").json() == one
    stranger = browser(other_org, Role.TENANT_ADMIN)
    assert stranger.get(f"/api/v1/audit-entries/{one['id']}/").status_code == 404


def test_a_chain_is_verified_from_its_page_and_shown_green_or_red(
    org, platform, entries, sign, superuser, browser, sent
):
    sign()
    auditor = browser(platform, Role.AUDITOR)
    assert b"not verified yet" in auditor.get("/console/audit/chains/").content
    asked = auditor.post("/console/audit/chains/verify/", {"tenant": str(org.id)})
    assert asked.status_code == 302
    ((name, given),) = sent
    assert name == "audit.verify_chain"
    waiting = auditor.get("/console/audit/chains/", headers={"HX-Request": "true"}).content
    assert b'hx-trigger="every 2s"' in waiting
    assert b"<html" not in waiting
    with platform_scope():
        run_verification(given["verification_id"])
    green = auditor.get("/console/audit/chains/").content
    assert b"the chain holds" in green
    assert b"hx-trigger" not in green
    superuser("UPDATE audit_auditentry SET reason = 'x' WHERE sequence = 2")
    auditor.post("/console/audit/chains/verify/", {"tenant": str(org.id)})
    with platform_scope():
        run_verification(sent[1][1]["verification_id"])
    red = auditor.get("/console/audit/chains/").content.decode()
    assert "the chain is broken" in red
    assert "entry 2 was changed after it was written" in red


def test_a_broken_chain_alarms_until_a_green_answer(
    org, other_org, platform, entries, sign, superuser, browser
):
    sign()
    admin, developer = browser(org, Role.TENANT_ADMIN), browser(org, Role.DEVELOPER)
    elsewhere, auditor = browser(other_org, Role.TENANT_ADMIN), browser(platform, Role.AUDITOR)

    def told(who) -> bool:
        return "its chain does not hold" in who.get("/account/security/").content.decode()

    def metric() -> float:
        return next(s.value for s in metrics._broken_chains().samples)

    def verify() -> None:
        with platform_scope():
            run_verification(start_verification(principal=SYSTEM, tenant_id=org.id).id)

    verify()
    assert (told(admin), metric(), readiness.PROBES["audit"]()) == (False, 0, "ok")
    superuser(f"UPDATE audit_auditentry SET reason = 'x' WHERE sequence = 2 AND tenant_id = '{org.id}'")
    verify()
    assert (metric(), readiness.PROBES["audit"]()) == (1, "a chain is broken")
    assert [told(who) for who in (admin, auditor, developer, elsewhere)] == [True, True, False, False]
    with platform_scope():
        start_verification(principal=SYSTEM, tenant_id=org.id)
    assert told(admin), "one that only runs takes no alarm away"
    superuser(f"UPDATE audit_auditentry SET reason = '' WHERE sequence = 2 AND tenant_id = '{org.id}'")
    with platform_scope():
        run_verification(latest(org).id)
    assert (told(admin), metric(), readiness.PROBES["audit"]()) == (False, 0, "ok")


def test_a_verification_whose_asker_may_no_more_makes_room_for_the_next(org, entries, principal_for, sent):
    admin = principal_for(org, Role.TENANT_ADMIN)
    with tenant_context(org.id):
        first = start_verification(principal=admin, tenant_id=org.id)
        tell = verify_chain.when_revoked
        tell("the account is gone", verification_id=str(first.id))
        assert latest(org).state == "failed"
        assert start_verification(principal=admin, tenant_id=org.id).id != first.id
        tell("told twice", verification_id=str(first.id))


def test_one_verification_of_a_chain_runs_at_a_time(org, entries, principal_for, sent):
    admin = principal_for(org, Role.TENANT_ADMIN)
    with tenant_context(org.id):
        first = start_verification(principal=admin, tenant_id=org.id)
        assert start_verification(principal=admin, tenant_id=org.id) == first
        run_verification(first.id)
        run_verification(first.id)  # a message that comes twice
    assert len(sent) == 1
    done = latest(org)
    assert (done.state, done.checked, done.total, done.percent) == ("holds", 4, 4, 100)


def test_every_chain_is_verified_on_schedule(org, other_org, entries, sent):
    assert verify_all() == 3
    for _name, given in sent:
        with platform_scope():
            run_verification(given["verification_id"])
    assert latest(org).state == "holds"
    assert latest(org).asked_by_label == SYSTEM.label


def test_a_verification_that_cannot_finish_says_so(org, entries, principal_for, sent, monkeypatch):
    with tenant_context(org.id):
        run = start_verification(principal=principal_for(org, Role.TENANT_ADMIN), tenant_id=org.id)
        monkeypatch.setattr(runs, "verify_chain", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_verification(run.id)
    assert latest(org).state == "failed"


def test_verification_over_rest(org, other_org, entries, browser, sent):
    admin = browser(org, Role.TENANT_ADMIN)
    made = admin.post("/api/v1/audit-verifications/", {}, content_type="application/json")
    assert made.status_code == 202, made.content
    with tenant_context(org.id):
        run_verification(sent[0][1]["verification_id"])
    seen = admin.get(f"/api/v1/audit-verifications/{made.json()['id']}/").json()
    assert (seen["state"], seen["problems"]) == ("holds", [])
    foreign = json.dumps({"tenant": str(other_org.id)})
    refused = admin.post("/api/v1/audit-verifications/", foreign, content_type="application/json")
    assert refused.status_code == 403
    stranger = browser(other_org, Role.TENANT_ADMIN)
    assert stranger.get(f"/api/v1/audit-verifications/{made.json()['id']}/").status_code == 404
    assert stranger.get("/api/v1/audit-verifications/").json()["results"] == []


def test_signed_heads_over_rest(org, entries, sign, browser):
    sign()
    (head,) = browser(org, Role.TENANT_ADMIN).get("/api/v1/audit-heads/").json()["results"]
    assert (head["sequence"], head["entry_hash"]) == (3, entries[-1].entry_hash)


def test_retention_and_holds_on_their_page(org, browser):
    admin, other = browser(org, Role.TENANT_ADMIN), browser(org, Role.TENANT_ADMIN)
    url = "/console/audit/keeping/"
    tenant = {"tenant": str(org.id)}
    assert b"kept for ever" in admin.get(url).content
    assert admin.post(f"{url}retention/", tenant | {"days": "90", "reason": "x"}).status_code == 400
    assert admin.post(f"{url}retention/", tenant | {"days": "many", "reason": "x"}).status_code == 400
    assert admin.post(f"{url}retention/", tenant | {"days": "365", "reason": "our rules"}).status_code == 302
    assert b"365 days" in admin.get(url).content
    hold = tenant | {"reason": "case 7", "from": "2026-01-01"}
    assert admin.post(f"{url}holds/", hold | {"to": "never"}).status_code == 400
    assert admin.post(f"{url}holds/", hold).status_code == 302
    with platform_scope(), transaction.atomic():
        held = LegalHold.objects.get()
        assert RetentionPolicy.objects.get().days == 365
    release = f"{url}holds/{held.id}/release/"
    assert b"somebody else must release it" in admin.get(url).content
    assert admin.post(release, {"reason": "over"}).status_code in (403, 409)
    assert other.post(release, {"reason": "over"}).status_code == 302
    assert b"released" in other.get(url).content
    assert admin.post(f"{url}retention/", tenant | {"days": "", "reason": "keep it all"}).status_code == 302
    assert b"kept for ever" in admin.get(url).content


def test_retention_and_holds_over_rest(org, other_org, browser):
    admin, other = browser(org, Role.TENANT_ADMIN), browser(org, Role.TENANT_ADMIN)

    def send(who, method, path, body):
        return who.generic(method, f"/api/v1/{path}", json.dumps(body), content_type="application/json")

    assert send(admin, "PUT", "audit-retention/", {"days": 200, "reason": "our rules"}).status_code == 200
    assert admin.get("/api/v1/audit-retention/").json() == [{"tenant": str(org.id), "days": 200}]
    assert send(admin, "PUT", "audit-retention/", {"days": 20, "reason": "our rules"}).status_code == 400
    foreign = {"days": 200, "reason": "theirs", "tenant": str(other_org.id)}
    assert send(admin, "PUT", "audit-retention/", foreign).status_code == 403
    made = send(admin, "POST", "audit-holds/", {"reason": "case 7"})
    assert made.status_code == 201, made.content
    release = f"audit-holds/{made.json()['id']}/release/"
    assert send(admin, "POST", release, {"reason": "over"}).status_code in (403, 409)
    assert send(browser(other_org, Role.TENANT_ADMIN), "POST", release, {"reason": "x"}).status_code == 404
    assert send(other, "POST", release, {"reason": "over"}).status_code == 200
    assert admin.get("/api/v1/audit-holds/").json()["results"][0]["release_reason"] == "over"
