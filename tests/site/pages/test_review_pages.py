"""The partner's portal, the reviewer's workbench, the ethics pages and becoming a partner, page by page."""

from __future__ import annotations

import io
import json
import pickle
import re

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client

from governance.principals import Role
from governance.tenants.context import platform_scope
from tests.factories.marketplace import ANSWERS, EVIDENCE, approve, package, publish, run_checks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


def send(client, data=None, **answers):
    """Upload through the form."""
    file = io.BytesIO(data if data is not None else package())
    file.name = "digits-reader.zip"
    return client.post("/partner/upload/", {"file": file, **answers})


def stored(address):
    """The submission behind a portal address, read with the platform's eyes."""
    from marketplace.review.models import Submission

    with platform_scope(), transaction.atomic():
        return Submission.objects.get(pk=address.rstrip("/").split("/")[-1])


def supply_evidence(client, submission):
    """The publisher's page of the ethics request, from the link on the submission's page."""
    page = client.get(f"/partner/submissions/{submission.pk}/").content.decode()
    address = re.search(r'href="(/console/ethics/evidence/[^"]+)"', page)[1]
    for kind, document in EVIDENCE.items():
        text = document if isinstance(document, str) else json.dumps(document)
        assert client.post(address, {"kind": kind, "document": text}).status_code == 302
    return address


@pytest.fixture
def partner(partner_org, sign_in):
    return sign_in(partner_org, Role.PARTNER)


@pytest.fixture
def reviewer(platform, sign_in):
    return sign_in(platform, Role.REVIEWER)


@pytest.fixture
def checked(partner):
    """The address of a submission whose checks are through."""
    address = send(partner.client).headers["Location"]
    run_checks(stored(address))
    return address


def test_upload_and_follow(partner, checked):
    page = partner.client.get(checked).content.decode()
    assert "Waiting for a reviewer" in page
    assert f"/ws/submissions/{stored(checked).pk}/" in page
    live = partner.client.get(checked + "live/").content.decode()
    assert "Model dry run" in live
    assert "<html" not in live
    assert "digits-reader 1.0.0" in partner.client.get("/partner/").content.decode()


def test_refused_uploads_say_why(partner):
    assert send(partner.client, b"").status_code == 400
    assert partner.client.post("/partner/upload/").status_code == 400
    send(partner.client, package())
    other = send(partner.client, package(files={"NOTES.md": "other bytes"}))
    assert other.status_code == 409
    assert b"already" in other.content


def test_findings_are_for_the_publisher(partner):
    address = send(partner.client, package(files={"evil.pkl": pickle.dumps({"weights": [1.0]})})).headers[
        "Location"
    ]
    run_checks(stored(address))
    page = partner.client.get(address).content.decode()
    assert "A check refused this version" in page
    assert "evil.pkl" in page


def test_review_question_answer_and_verdict(partner, reviewer, checked):
    bench = f"/console/review/submissions/{stored(checked).pk}/"
    assert "digits-reader" in reviewer.client.get("/console/review/").content.decode()
    for tab in ("overview", "findings", "files", "diff", "talk", "nonsense"):
        assert reviewer.client.get(bench, {"tab": tab}).status_code == 200
    script = reviewer.client.get(bench, {"tab": "files", "path": "skills/double/scripts/skill.py"})
    assert b"def run(payload)" in script.content
    assert b"binary data" in reviewer.client.get(bench, {"tab": "files", "path": "models/model.onnx"}).content

    assert reviewer.client.post(bench + "decide/", {"verdict": "approve", "reason": "x"}).status_code == 409
    reviewer.client.post(bench + "claim/")
    assert b'value="approve"' in reviewer.client.get(bench).content
    reviewer.client.post(bench + "ask/", {"text": "Which data?"})
    waiting = partner.client.get(checked).content.decode()
    assert "Which data?" in waiting
    assert reviewer.user.username not in waiting
    assert "Waiting for you" in partner.client.get("/partner/").content.decode()
    partner.client.post(checked + "answer/", {"text": "Random numbers."})
    assert b"Random numbers." in reviewer.client.get(bench, {"tab": "talk"}).content
    reviewer.client.post(bench + "decide/", {"verdict": "reject", "reason": "The card is thin."})
    assert "The card is thin." in partner.client.get(checked).content.decode()


def test_release_and_withdraw(partner, reviewer, checked):
    bench = f"/console/review/submissions/{stored(checked).pk}/"
    reviewer.client.post(bench + "claim/")
    assert (
        reviewer.client.get("/console/review/", {"show": "mine"}).content.decode().count("digits-reader") >= 1
    )
    reviewer.client.post(bench + "release/")
    partner.client.post(checked + "withdraw/")
    assert stored(checked).state == "withdrawn"
    assert reviewer.client.post(bench + "claim/").status_code == 409


def test_another_partner_sees_nothing(checked, make_tenant, sign_in):
    stranger = sign_in(make_tenant("rival", kind="partner"), Role.PARTNER).client
    for address in (checked, checked + "live/"):
        assert stranger.get(address).status_code == 404
    assert stranger.post(checked + "withdraw/").status_code in (403, 404)


def test_partners_do_not_reach_the_workbench(partner, checked):
    assert partner.client.get("/console/review/").status_code == 403
    assert partner.client.get(f"/console/review/submissions/{stored(checked).pk}/").status_code == 403


def test_ethics_questionnaire_and_decision(partner, platform, sign_in):
    risky = package(purpose="medical-diagnosis", data_labels=["health"])
    address = send(partner.client, risky).headers["Location"]
    run_checks(stored(address))
    page = partner.client.get(address).content.decode()
    assert "Questions of the ethics office" in page
    incomplete = partner.client.post(address + "ethics/", {"q-intended_use": "Short"})
    assert incomplete.status_code == 400
    assert b"not complete" in incomplete.content
    answers = {f"q-{key}": "yes" if value is True else value for key, value in ANSWERS.items()}
    assert partner.client.post(address + "ethics/", answers).status_code == 302
    supply_evidence(partner.client, stored(address))
    officer = sign_in(platform, Role.ETHICS_OFFICER).client
    queue = officer.get("/console/ethics/")
    approval = queue.context["rows"][0]
    detail = f"/console/ethics/approvals/{approval.pk}/"
    assert ANSWERS["risks"] in officer.get(detail).content.decode()
    assert officer.post(detail, {"verdict": "approve", "reason": ""}).status_code == 400
    refused = officer.post(detail, {"verdict": "approve", "reason": "Yes.", "share": "101"})
    assert refused.status_code == 400
    assert b"/conditions/0" in refused.content
    assert officer.post(detail, {"verdict": "approve", "reason": "Oversight is real."}).status_code == 302
    assert "Decided lately" in officer.get("/console/ethics/").content.decode()
    assert partner.client.get("/console/ethics/").status_code == 403


JOIN = {
    "name": "New Lab",
    "slug": "new-lab",
    "website": "",
    "contact_email": "lab@example.com",
    "about": "Models for labs",
    "username": "labhead",
    "password": "a long enough passphrase",
}


def test_becoming_a_partner(platform, sign_in):
    cache.clear()
    public = Client()
    assert "Organisation" in public.get("/partner/join/").content.decode()
    assert "too short" in public.post("/partner/join/", JOIN | {"password": "short"}).content.decode()
    assert "application is with us" in public.post("/partner/join/", JOIN).content.decode()
    login = {"username": JOIN["username"], "password": JOIN["password"]}
    assert public.post("/accounts/login/", login).status_code == 302
    assert public.get("/").status_code == 403
    admin = sign_in(platform, Role.PLATFORM_ADMIN).client
    application = admin.get("/console/partners/").context["waiting"][0]
    decide = f"/console/partners/{application.pk}/"
    assert admin.post(decide, {"verdict": "refuse", "reason": ""}).status_code == 400
    assert admin.post(decide, {"verdict": "accept"}).status_code == 302
    assert public.get("/", follow=True).redirect_chain[-1][0] == "/partner/"


def test_applications_are_limited_per_address(platform, settings):
    settings.PARTNER_SIGN_UP_RATE = "3/h"
    cache.clear()
    public = Client()
    answers = [
        public.post("/partner/join/", JOIN | {"slug": f"lab-{n}", "username": f"lab{n}"}).content.decode()
        for n in range(8)  # even if an hour of the limiter ends in between, one of the two has four
    ]
    assert any("Too many applications" in answer for answer in answers)


@pytest.fixture
def own_repository(settings, tmp_path):
    """A state folder of its own: what other tests have published is not there."""
    settings.OPENCLAW_VAR = tmp_path / "var"
    settings.REPOSITORY_ON_DISK = True


def test_an_administrator_blocks_a_published_version_and_a_reviewer_cannot(
    own_repository, platform, reviewer, checked, sign_in
):
    page = f"/console/review/submissions/{stored(checked).pk}/"
    publish(approve(stored(checked), reviewer.principal))
    administrator = sign_in(platform, Role.PLATFORM_ADMIN)
    assert "Block this version" not in reviewer.client.get(page).content.decode()
    assert "Block this version" in administrator.client.get(page).content.decode()
    assert reviewer.client.post(page + "block/", {"reason": "It calls home."}).status_code == 403
    assert administrator.client.post(page + "block/", {"reason": " "}).status_code == 400
    assert administrator.client.post(page + "block/", {"reason": "It calls home."}).status_code == 302
    with platform_scope(), transaction.atomic():
        assert stored(checked).version.state == "blocked"
    assert "Block this version" not in administrator.client.get(page).content.decode()
