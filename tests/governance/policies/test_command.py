"""`openclaw policies` against the real REST API, in one process."""

from __future__ import annotations

import functools
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from django.core.handlers.wsgi import WSGIHandler

from governance.access.decisions import decide
from governance.access.recorder import recorder
from governance.principals import Role
from openclaw_site.cli import partner_client
from openclaw_site.cli.policies import policies
from tests.factories.governance import make_application, make_member
from tests.factories.policies import NO_BATCH

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture
def openclaw(org, monkeypatch):
    """`openclaw(person, "list")`: the command as the application of an administrator."""
    inside = functools.partial(httpx.Client, transport=httpx.WSGITransport(app=WSGIHandler()))
    monkeypatch.setattr(partner_client.httpx, "Client", inside)
    made = {}

    def run(person: str, *arguments: object):
        if person not in made:
            owner = make_member(org, Role.TENANT_ADMIN, username=person)
            made[person] = make_application(
                org, scopes=["tenant:manage"], role=Role.TENANT_ADMIN, owner=owner
            )
        application, secret = made[person]
        credentials = [
            "--url",
            "http://localhost",
            "--client-id",
            application.client_id,
            "--client-secret",
            secret,
        ]
        return CliRunner().invoke(policies, [*map(str, arguments), *credentials])

    return run


def test_from_a_file_to_force(openclaw, tmp_path: Path):
    file = tmp_path / "bank.cedar"
    file.write_text(NO_BATCH)
    assert openclaw("anna", "validate", file).output.endswith("good, it can be proposed\n")
    assert "No policies of your own are in force" in openclaw("anna", "show").output
    proposed = openclaw("anna", "propose", file, "--note", "as agreed")
    assert proposed.exit_code == 0, proposed.output
    assert "openclaw policies activate 1" in proposed.output
    own = openclaw("anna", "activate", 1)
    assert own.exit_code == 1
    assert "You asked for this yourself" in own.output
    assert "Version 1 is in force" in openclaw("bert", "activate", 1, "--reason", "agreed").output
    assert openclaw("anna", "show").output == NO_BATCH
    assert openclaw("anna", "show", 1).output == NO_BATCH
    listed = openclaw("bert", "list").output.split()
    assert listed[:2] == ["1", "active"]
    recorder.flush()
    text = '@id("no-looking") forbid (principal, action == Action::"policies.version.view", resource);'
    file.write_text(text)
    tried = openclaw("anna", "what-if", file)
    assert "allowed → refused  [no-looking]" in tried.output
    assert "decisions newly refused" in tried.output


def test_mistakes_have_places_and_nothing_is_left_behind(openclaw, tmp_path: Path):
    file = tmp_path / "bad.cedar"
    file.write_text('@id("a")\nforbid (principal, action, resource')
    checked = openclaw("anna", "validate", file)
    assert checked.exit_code == 1
    assert f"{file}:2:28: unexpected end of input" in checked.output
    refused = openclaw("anna", "propose", file)
    assert refused.exit_code == 1
    assert "line 2" in refused.output
    assert "withdrawn" in openclaw("anna", "list").output
    assert "There is no version 7" in openclaw("anna", "show", 7).output
    file.write_bytes(b"\xff\xfe")
    assert "not text in UTF-8" in openclaw("anna", "validate", file).output


def test_a_version_is_taken_back_and_an_older_one_comes_back(openclaw, tmp_path: Path):
    file = tmp_path / "bank.cedar"
    for number, text in enumerate((NO_BATCH, NO_BATCH + "\n// changed\n"), start=1):
        file.write_text(text)
        assert openclaw("anna", "propose", file).exit_code == 0
        assert openclaw("bert", "activate", number).exit_code == 0
    back = openclaw("anna", "roll-back", 1, "--reason", "the change was wrong")
    assert "Version 3 is proposed with the text of 1" in back.output
    assert "is withdrawn" in openclaw("anna", "withdraw", 3, "--reason", "not needed").output
    assert "withdrawn" in openclaw("bert", "list").output.splitlines()[0]


def test_why_something_was_refused(openclaw, org, principal_for):
    developer = principal_for(org, Role.DEVELOPER)
    assert not decide(developer, "policies.version.draft", enforced=True).allow
    recorder.flush()
    listed = openclaw("anna", "decisions", "--action", "policies.version.draft").output
    assert developer.label in listed
    assert "refused  [none]" in listed
    told = openclaw("anna", "why", listed.split()[0]).output
    assert "None of the roles that were held allows this action." in told
    assert "missing: One of the roles" in told
    recorder.flush()
    assert "allowed" in openclaw("anna", "decisions", "--all").output
