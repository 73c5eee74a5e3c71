"""REST, pages and commands of ethics."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client
from django.utils import timezone, translation

from governance.ethics.models import Approval
from governance.principals import Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from tests.factories.governance import bearer_token, make_application, make_member
from tests.factories.inference import make_version
from tests.factories.marketplace import ANSWERS, EVIDENCE, QUESTIONNAIRE
from tests.governance.ethics.steps import ask, bind, decide, thing

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture
def sign_in():
    """A browser of a fresh person with a role."""

    def make(tenant, role):
        client = Client()
        client.force_login(make_member(tenant, role), backend="django.contrib.auth.backends.ModelBackend")
        return client

    return make


@pytest.fixture
def program():
    """A REST client with a token of an application."""

    def make(tenant, role, scopes):
        owner = make_member(tenant, role)
        application, secret = make_application(tenant, scopes=scopes, role=role, owner=owner)
        return Client(headers={"Authorization": f"Bearer {bearer_token(application, secret)}"})

    return make


def post(client, path, **body):
    return client.post(f"/api/v1/{path}/", body, content_type="application/json")


def test_the_questionnaire_over_rest_is_in_the_callers_language(program, partner_org):
    client = program(partner_org, Role.PARTNER, ["plugins:read"])
    told = client.get("/api/v1/ethics-questionnaire/").json()
    assert told["version"] == "ai-act-2"
    kinds = {question["kind"] for question in told["questions"]}
    assert kinds == {"text", "confirm", "choice", "multi-choice", "number"}
    profiling = next(q for q in told["questions"] if q["id"] == "profiling")
    assert profiling["when"]["question"] == "annex_iii_areas"
    assert profiling["frameworks"]["eu_ai_act"] == ["Art. 6(3)"]
    with translation.override("zh-hans"):
        chinese = client.get("/api/v1/ethics-questionnaire/", headers={"accept-language": "zh-hans"}).json()
    assert "画像" in next(q["text"] for q in chinese["questions"] if q["id"] == "profiling")


def test_evidence_decision_and_renewal_over_rest(program, partner_org, partner, officer, platform):
    approval = ask(partner, given={"answers": ANSWERS})
    client = program(partner_org, Role.PARTNER, ["plugins:read", "plugins:write"])
    path = f"ethics-approvals/{approval.id}"
    told = client.get(f"/api/v1/{path}/").json()
    assert (told["risk_class"], sorted(told["missing"])) == ("high", sorted(EVIDENCE))
    assert told["because"][0]["article"] == "Art. 6(1)"
    bad = post(client, f"{path}/evidence", kind="evaluation", document={"format": "x"})
    assert (bad.status_code, bad.json()["type"]) == (400, "urn:openclaw:problem:evidence-invalid")
    for kind, document in EVIDENCE.items():
        assert post(client, f"{path}/evidence", kind=kind, document=document).status_code == 201
    assert client.get(f"/api/v1/{path}/").json()["missing"] == []
    assert len(client.get(f"/api/v1/{path}/documents/").json()) == 3
    assert post(client, f"{path}/decide", approve=True, reason="Mine.").status_code == 403
    decide(officer, approval, conditions=[{"kind": "traffic_share_at_most", "value": 20}], valid_days=9)
    told = client.get(f"/api/v1/{path}/").json()
    assert told["conditions_in_words"] == ["At most 20 percent of an endpoint's traffic."]
    renewed = post(client, f"{path}/renew")
    assert (renewed.status_code, renewed.json()["renews"]) == (201, str(approval.id))


def test_an_officer_decides_with_conditions_on_the_page(sign_in, platform, partner):
    approval = ask(partner)
    officer = sign_in(platform, Role.ETHICS_OFFICER)
    queue = officer.get("/console/ethics/")
    assert queue.status_code == 200
    assert b"complete" in queue.content
    address = f"/console/ethics/approvals/{approval.id}/"
    page = officer.get(address).content.decode()
    for words in ("Art. 14(4)", "MAP 3.5", "A.9.2", "largest difference", "pathologist", "Art. 6(1)"):
        assert words in page, words
    sent = {
        "verdict": "approve",
        "reason": "Good.",
        "purposes": "triage, teaching",
        "share": "20",
        "days": "30",
    }
    wrong = officer.post(address, sent | {"amount": "a lot"})
    assert wrong.status_code == 400
    assert "triage, teaching" in wrong.content.decode(), "what was written is kept"
    assert officer.post(address, sent).status_code == 302
    with platform_scope(), transaction.atomic():
        found = Approval.objects.get()
        assert found.conditions == [
            {"kind": "purposes_only", "value": ["teaching", "triage"]},
            {"kind": "traffic_share_at_most", "value": 20},
        ]
        assert found.expires_at < timezone.now() + timedelta(days=31)
    assert b"Ending soon" in officer.get("/console/ethics/").content


def test_what_is_missing_or_prohibited_is_said_before_anybody_tries(sign_in, platform, partner):
    lacking = ask(partner, given={"answers": ANSWERS})
    officer = sign_in(platform, Role.ETHICS_OFFICER)
    address = f"/console/ethics/approvals/{lacking.id}/"
    assert "It can be approved once this is there" in officer.get(address).content.decode()
    refused = officer.post(address, {"verdict": "approve", "reason": "Yes."})
    assert (refused.status_code, b"oversight plan" in refused.content) == (409, True)
    prohibited = ask(
        partner, about=ObjectRef("tests.subject", "2", "b" * 64, "Other"),
        given={"answers": ANSWERS | {"prohibited_practices": ["social-scoring"]}},
    )  # fmt: skip
    page = officer.get(f"/console/ethics/approvals/{prohibited.id}/").content.decode()
    assert "Art. 5(1)(c)" in page
    assert 'value="approve"' not in page


def test_a_publisher_supplies_evidence_and_renews_on_the_page(sign_in, partner_org, partner, officer):
    approval = ask(partner, given={"answers": ANSWERS})
    client = sign_in(partner_org, Role.PARTNER)
    address = f"/console/ethics/evidence/{approval.id}/"
    wrong = client.post(address, {"kind": "oversight_plan", "document": "{}"})
    assert (wrong.status_code, b"overseers" in wrong.content) == (400, True)
    for kind, document in EVIDENCE.items():
        data = (document if isinstance(document, str) else json.dumps(document)).encode()
        file = io.BytesIO(data)
        file.name = "evidence.txt"
        assert client.post(address, {"kind": kind, "file": file}).status_code == 302
    big = io.BytesIO(b"x" * (256 * 1024 + 1))
    big.name = "big.txt"
    assert client.post(address, {"kind": "model_card", "file": big}).status_code == 413
    decide(officer, approval)
    assert b"Ask for a renewal" in client.get(address).content
    renewed = client.post(f"/console/ethics/approvals/{approval.id}/renew/")
    assert renewed.status_code == 302
    assert client.get(renewed.headers["Location"]).status_code == 200


def test_the_tenant_sees_its_uses_and_takes_the_bundle(sign_in, program, org, admin, settings, tmp_path):
    settings.OPENCLAW_VAR = tmp_path
    version = make_version(admin)
    target = ObjectRef("registry.modelversion", str(version.id), version.sha256, "adder 1.0.0")
    bind(org.id, target, thing())
    client = sign_in(org, Role.TENANT_ADMIN)
    page = client.get("/console/ethics/uses/").content.decode()
    assert "none in force" in page
    for form, media in (("zip", "application/zip"), ("pdf", "application/pdf"), ("json", "application/json")):
        found = client.get(f"/console/ethics/bundles/{target.type}/{target.id}/?as={form}")
        assert (found.status_code, found.headers["Content-Type"]) == (200, media)
    assert client.get(f"/console/ethics/bundles/{target.type}/{target.id}/?as=doc").status_code == 400
    rest = program(org, Role.TENANT_ADMIN, ["models:read"])
    uses = rest.get("/api/v1/ethics-uses/").json()["results"]
    assert {row["holds"] for row in uses} == {False}
    found = rest.get(f"/api/v1/evidence-bundles/{target.type}/{target.id}/?as=json")
    assert found.json()["object"]["label"] == "adder 1.0.0"
    assert rest.get("/api/v1/evidence-bundles/key/").json()[0]["scheme"] == "ed25519"


def test_an_incident_from_the_first_word_to_the_last_on_pages_and_over_rest(sign_in, program, org):
    client = sign_in(org, Role.TENANT_ADMIN)
    sent = {"title": "Wrong order", "subject": "the triage model 1.2", "description": "A sample waited.",
            "severity": "high", "serious": "serious", "aware_at": "2026-01-01T08:00"}  # fmt: skip
    assert client.post("/console/ethics/incidents/new/", sent | {"title": "x"}).status_code == 400
    made = client.post("/console/ethics/incidents/new/", sent)
    assert made.status_code == 302, made.content
    address = made.headers["Location"]
    assert b"was due" in client.get(address).content
    for name, body in (
        ("investigate", {"serious": "serious"}), ("report", {"reported_to": "The authority"}),
        ("close", {"corrective_action": "A second reading."}),
    ):  # fmt: skip
        assert client.post(f"{address}{name}/", body).status_code == 302
    assert b"A second reading." in client.get("/console/ethics/incidents/").content
    rest = program(org, Role.TENANT_ADMIN, ["models:read", "tenant:manage"])
    assert rest.get("/api/v1/incidents/?state=closed").json()["results"][0]["reported_to"] == "The authority"
    body = {"subject_type": "other", "subject_id": "model", "title": "Other", "description": "Nothing grave.",
            "severity": "low"}  # fmt: skip
    answer = post(rest, "incidents", **body)
    assert (answer.status_code, answer.json()["report_due_at"]) == (201, None)
    assert post(rest, "incidents", **(body | {"severity": "awful"})).status_code == 400
    path = f"incidents/{answer.json()['id']}"
    assert post(rest, f"{path}/close", corrective_action="None.").status_code == 409
    assert post(rest, f"{path}/investigate", serious="death").json()["serious"] == "death"
    assert post(rest, f"{path}/report", reported_to="The authority").json()["state"] == "reported"
    assert post(rest, f"{path}/close", corrective_action="Done so.").json()["state"] == "closed"


def test_the_commands_say_what_waits_and_what_is_wrong(partner, officer, tmp_path):
    ask(partner, given={"answers": ANSWERS})
    decide(officer, ask(partner, ObjectRef("tests.subject", "2", "c" * 64, "Second")), valid_days=5)
    out = io.StringIO()
    call_command("ethics_status", stdout=out)
    assert "waiting  Subject · justice · high risk · model card, evaluation per group" in out.getvalue()
    assert "ends     Second" in out.getvalue()
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(EVIDENCE["oversight_plan"]))
    call_command("ethics_check", "oversight_plan", str(path), stdout=out)
    assert "accepted, sha256" in out.getvalue()
    path.write_text("{}")
    with pytest.raises(CommandError, match="cannot be accepted"):
        call_command("ethics_check", "oversight_plan", str(path), stdout=out)
    path.write_bytes(b"\xff")
    with pytest.raises(CommandError, match="UTF-8"):
        call_command("ethics_check", "oversight_plan", str(path), stdout=out)


def test_evidence_that_is_no_object_is_refused_with_the_request(program, partner_org, partner):
    from governance.errors import InvalidInput

    with pytest.raises(InvalidInput, match="is an object"):
        ask(partner, given=QUESTIONNAIRE | {"evidence": ["model_card"]})
    with pytest.raises(InvalidInput, match="kind of evidence"):
        ask(partner, given=QUESTIONNAIRE | {"evidence": {"opinion": "Good."}})
    with platform_scope(), transaction.atomic():
        assert not Approval.objects.exists()
