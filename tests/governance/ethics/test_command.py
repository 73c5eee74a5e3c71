"""The command line of the ethics office: the same services, by a person who gives a password."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from governance.ethics.models import Approval, Incident
from governance.principals import Role
from governance.tenants.context import platform_scope
from governance.tenants.models import User
from tests.factories.marketplace import QUESTIONNAIRE
from tests.governance.ethics.steps import ask

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "a long enough one"


@pytest.fixture
def run(monkeypatch):
    def call(principal, tenant, *arguments, password=PASSWORD):
        user = User.objects.get(pk=principal.user_id)
        user.set_password(PASSWORD)
        user.save()
        out = io.StringIO()
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        options = [f"--as={user.username}", f"--tenant={tenant.slug}"]
        call_command("ethics_act", *map(str, arguments), *options, stdout=out, stderr=out)
        return out.getvalue()

    return call


def test_evidence_and_a_decision_under_a_condition(
    run, partner, partner_org, officer, platform, tmp_path, principal_for
):
    asked = ask(partner, given={key: QUESTIONNAIRE[key] for key in ("version", "answers")})
    with pytest.raises(CommandError, match=r"missing|evidence"):
        run(officer, platform, "decide", asked.id, "approve", "--reason=Good.")
    for kind, document in QUESTIONNAIRE["evidence"].items():
        file = tmp_path / kind
        file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        assert "accepted" in run(partner, partner_org, "evidence", asked.id, kind, file)
    with pytest.raises(CommandError, match="not right"):
        run(officer, platform, "decide", asked.id, "approve", "--reason=Good.", password="a wrong one")
    with pytest.raises(CommandError, match="JSON"):
        run(officer, platform, "decide", asked.id, "approve", "--reason=Good.", "--condition={")
    condition = '--condition={"kind": "person_confirms_above", "value": 10}'
    assert "approved" in run(officer, platform, "decide", asked.id, "approve", "--reason=Good.", condition)
    with platform_scope(), transaction.atomic():
        approval = Approval.objects.get()
        assert (approval.state, approval.conditions) == (
            "approved",
            [{"kind": "person_confirms_above", "value": 10}],
        )


def test_an_incident_from_its_entry_to_its_end(run, org, admin, officer, platform, principal_for):
    developer = principal_for(org, Role.DEVELOPER)
    words = ["--title=Wrong answers", "--description=Every answer was yes.", "--severity=high"]
    made = run(developer, org, "incident", "rollouts.endpoint", "7", *words, "--serious=serious").split()[0]
    with pytest.raises(CommandError, match="reported"):
        run(officer, platform, "investigate", made)
        run(officer, platform, "close", made, "--action=The model was replaced.")
    run(officer, platform, "report", made, "--to=The authority")
    run(officer, platform, "close", made, "--action=The model was replaced.")
    with platform_scope(), transaction.atomic():
        assert Incident.objects.get().state == "closed"


def test_a_refused_request_is_not_renewed_and_a_given_approval_is(
    run, partner, partner_org, officer, platform
):
    asked = ask(partner)
    with pytest.raises(CommandError, match="given or expired"):
        run(partner, partner_org, "renew", asked.id)
    run(officer, platform, "decide", asked.id, "approve", "--reason=Good.")
    again = run(partner, partner_org, "renew", asked.id).split()[0]
    with platform_scope(), transaction.atomic():
        assert Approval.objects.get(pk=again).state == "requested"
        assert Approval.objects.get(pk=asked.pk).state == "approved"
