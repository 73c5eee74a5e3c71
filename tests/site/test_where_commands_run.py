"""Commands run where the person stands: the files that they name are theirs, and no code is taken from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from django.db import transaction

from governance.ethics.models import Evidence
from governance.principals import Role
from governance.tenants.context import platform_scope
from governance.tenants.models import User
from openclaw_site.config import CHECKOUT
from tests.factories.marketplace import EVIDENCE, QUESTIONNAIRE
from tests.governance.ethics.steps import ask
from tests.services import DATABASE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey", "platform")]
PASSWORD = "a long enough one"


@pytest.fixture
def openclaw(services, tmp_path):
    """The command as somebody types it in a folder of theirs, which has modules named like ours."""
    for name in ("django", "governance", "openclaw_site"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('code from where the person stands')")

    def run(*arguments: object, said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "openclaw_site.cli", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ
            | services.environment()
            | {"PYTHONPATH": str(CHECKOUT), "DATABASE_OWNER_URL": services.postgres.owner_url(DATABASE)},
            input=said,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_evidence_is_read_from_where_the_person_stands(openclaw, tmp_path, principal_for, partner_org):
    partner = principal_for(partner_org, Role.PARTNER)
    asked = ask(partner, given={key: QUESTIONNAIRE[key] for key in ("version", "answers")})
    user = User.objects.get(pk=partner.user_id)
    user.set_password(PASSWORD)
    user.save()
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "card.md").write_text(EVIDENCE["model_card"], encoding="utf-8")
    who = (f"--as={user.username}", f"--tenant={partner_org.slug}")
    said = openclaw(
        "ethics", "act", "evidence", asked.id, "model_card", "papers/card.md", *who, said=f"{PASSWORD}\n"
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("accepted")
    with platform_scope(), transaction.atomic():
        assert Evidence.objects.get(approval_id=asked.id).document == EVIDENCE["model_card"]
    missing = openclaw(
        "ethics", "act", "evidence", asked.id, "model_card", "card.md", *who, said=f"{PASSWORD}\n"
    )
    assert missing.returncode != 0
    assert "cannot be read" in missing.stderr


@pytest.mark.parametrize("way", [("ethics", "check"), ("manage", "ethics_check")])
def test_a_document_is_checked_from_where_the_person_stands(way, openclaw, tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps(EVIDENCE["oversight_plan"]), encoding="utf-8")
    said = openclaw(*way, "oversight_plan", "plan.json")
    assert said.returncode == 0, said.stderr


def test_a_file_is_written_where_the_person_stands(openclaw, tmp_path):
    said = openclaw("audit", "export", "--output", "log.jsonl")
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "log.jsonl").is_file()
