"""The same journey over HTTP: a partner's program, reviewers in sessions, a tenant's program, the stock TUF client."""

from __future__ import annotations

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from governance.principals import Role
from governance.tenants.models import User
from marketplace.installs import completing
from marketplace.review.advancing import advance_submission
from tests.factories.files import on_disk
from tests.factories.governance import bearer_token, make_application
from tests.factories.marketplace import QUESTIONNAIRE, package, publish, reload, run_checks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey", "site")]
BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def program(member):
    """A client that carries an OAuth 2.0 token of the tenant."""

    def make(tenant, role, scopes):
        owner = member(tenant, role)
        application, secret = make_application(tenant, scopes=scopes, role=role, owner=owner)
        token = bearer_token(application, secret, " ".join(scopes))
        return Client(headers={"Authorization": f"Bearer {token}"})

    return make


@pytest.fixture
def person(member):
    """A signed-in browser."""

    def make(tenant, role):
        client = Client()
        client.force_login(member(tenant, role), backend=BACKEND)
        return client

    return make


def post(client, path, **body):
    return client.post(f"/api/v1/{path}/", body, content_type="application/json")


def send(client, data, **fields):
    file = SimpleUploadedFile("plugin.zip", data, content_type="application/zip")
    return client.post("/api/v1/submissions/", {"file": file, **fields})


@pytest.fixture
def partner_program(program, partner_org):
    return program(partner_org, Role.PARTNER, ["plugins:read", "plugins:write"])


def test_the_whole_way_over_http(partner_program, program, person, platform, partner_org, org):
    data = package(purpose="medical-diagnosis", data_labels=["health"])
    answer = send(partner_program, data, questionnaire=json.dumps(QUESTIONNAIRE))
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert (made["state"], made["whose_turn"], made["ethics"]["state"]) == (
        "checking",
        "platform",
        "requested",
    )
    assert {check["state"] for check in made["checks"]} == {"queued"}
    assert send(partner_program, data, questionnaire=json.dumps(QUESTIONNAIRE)).json()["id"] == made["id"]

    from marketplace.review.models import Submission

    submission = run_checks(Submission(id=made["id"]))
    path = f"submissions/{made['id']}"
    first, second = person(platform, Role.REVIEWER), person(platform, Role.REVIEWER)
    assert [row["id"] for row in first.get("/api/v1/submissions/queue/").json()] == [made["id"]]
    assert post(first, f"{path}/claim").json()["state"] == "in_review"
    assert post(first, f"{path}/ask", message="Who oversees it?").json()["whose_turn"] == "publisher"
    assert post(partner_program, f"{path}/answer", message="The physician.").json()["state"] == "in_review"
    files = {row["path"] for row in first.get(f"/api/v1/{path}/files/").json()}
    assert "plugin.json" in files
    assert first.get(f"/api/v1/{path}/content/?path=LICENSE").json()["is_text"] is True
    assert first.get(f"/api/v1/{path}/diff/").json()["base"] == ""
    assert post(first, f"{path}/decide", approve=True, reason="Good.").json()["state"] == "second_review"
    assert post(first, f"{path}/claim").status_code == 409
    post(second, f"{path}/claim")
    done = post(second, f"{path}/decide", approve=True, reason="Good.").json()
    assert (done["state"], done["whose_turn"]) == ("waiting_for_ethics", "ethics")

    officer = person(platform, Role.ETHICS_OFFICER)
    (approval,) = officer.get("/api/v1/ethics-approvals/?state=requested").json()["results"]
    assert approval["subject_digest"] == made["sha256"]
    post(officer, f"ethics-approvals/{approval['id']}/decide", approve=True, reason="Oversight is real.")
    advance_submission(submission_id=submission.id)
    publish(submission)

    shown = partner_program.get(f"/api/v1/{path}/").json()
    assert (shown["state"], shown["whose_turn"]) == ("published", "nobody")
    codes = [step["code"] for step in shown["timeline"]]
    assert codes.index("approved") < codes.index("publishing") < codes.index("published")
    assert "verdict" not in codes

    keeper = program(org, Role.TENANT_ADMIN, ["plugins:read", "tenant:manage"])
    (plugin,) = keeper.get("/api/v1/plugins/?search=digits").json()["results"]
    assert plugin["latest_version"] == "1.0.0"
    (version,) = keeper.get("/api/v1/plugin-versions/?plugin__slug=digits-reader").json()["results"]
    refused = post(keeper, "installations", plugin_version=version["id"], grants=["network:x"])
    assert (refused.status_code, refused.json()["type"]) == (400, "urn:openclaw:problem:grants-differ")
    installed = post(keeper, "installations", plugin_version=version["id"], grants=version["permissions"])
    assert installed.status_code == 202, installed.content
    completing.complete(installation_id=installed.json()["id"])
    state = keeper.get(f"/api/v1/installations/{installed.json()['id']}/").json()
    assert state["state"] == "active", state
    assert {item["kind"] for item in state["produced"]} == {"model_version", "endpoint", "skill_version"}


def test_the_repository_is_public_and_serves_nothing_else(partner_program, person, platform, site):
    from governance.keys.providers import provider
    from marketplace.distribution.repository import Repository

    repository = Repository(site / "tuf", provider())
    archive = site / "x.zip"
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(b"content")
    repository.add("plugins/acme/reader/1.0.0.zip", archive, {})
    (target,) = (site / "tuf" / "targets").rglob("*.zip")
    anonymous = Client()
    timestamp = anonymous.get("/tuf/metadata/timestamp.json")
    assert (timestamp.status_code, timestamp["Cache-Control"]) == (200, "no-cache")
    assert "immutable" in anonymous.get("/tuf/metadata/1.root.json")["Cache-Control"]
    name = target.relative_to(site / "tuf" / "targets").as_posix()
    assert b"".join(anonymous.get(f"/tuf/targets/{name}").streaming_content) == b"content"
    (site / "tuf" / "metadata" / "link.json").symlink_to(archive)
    for bad in (
        "../../secrets/keys/tuf-root.pem",
        "%2e%2e/x.zip",
        ".hidden",
        "link.json",
        "plugins",
        "",
        "/etc/passwd",
    ):
        assert anonymous.get(f"/tuf/metadata/{bad}").status_code in (301, 404), bad
    assert anonymous.post("/tuf/metadata/timestamp.json").status_code == 405


def test_an_incomplete_questionnaire_names_every_open_question(partner_program):
    answer = send(partner_program, package(purpose="justice"), questionnaire='{"data": "x"}')
    assert answer.status_code == 400
    assert {e["pointer"] for e in answer.json()["errors"]} >= {"/questionnaire/data", "/questionnaire/risks"}
    assert send(partner_program, package(), questionnaire="[1]").status_code == 400


def test_a_token_without_the_scope_or_role_cannot_upload(program, partner_org, org):
    reading = program(partner_org, Role.PARTNER, ["plugins:read"])
    assert send(reading, package()).status_code == 403
    keeper = program(org, Role.TENANT_ADMIN, ["plugins:write"])
    assert send(keeper, package()).status_code == 403
    assert send(Client(), package()).status_code == 401


def test_a_person_becomes_a_partner(platform, person, settings):
    settings.PARTNER_SIGN_UP_RATE = "100/h"
    body = {
        "slug": "new-partner",
        "name": "New Partner",
        "username": "newcomer",
        "password": "a long sentence nobody guesses",
    }
    made = post(Client(), "partner-applications", **body)
    assert made.status_code == 201, made.content
    assert "password" not in made.json()
    weak = post(Client(), "partner-applications", **body | {"username": "other", "password": "12345"})
    assert weak.status_code == 400
    administrator = person(platform, Role.PLATFORM_ADMIN)
    path = f"partner-applications/{made.json()['id']}"
    assert post(administrator, f"{path}/decide", accept=False).status_code == 400
    assert post(administrator, f"{path}/decide", accept=True).json()["state"] == "accepted"
    assert post(administrator, f"{path}/decide", accept=True).status_code == 409
    newcomer = Client()
    newcomer.force_login(User.objects.get(username="newcomer"), backend=BACKEND)
    assert send(newcomer, package()).status_code == 201


def test_an_upload_lies_in_quarantine_for_the_site_alone(partner_program):
    from marketplace.review.models import Submission

    made = send(partner_program, package()).json()
    assert on_disk(reload(Submission(id=made["id"])).archive.file).stat().st_mode & 0o777 == 0o600
