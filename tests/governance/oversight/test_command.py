"""The command line: anybody at the machine looks and stops; what a person decides asks for that person's password."""

from __future__ import annotations

import io
import json
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from governance.oversight import withholding
from governance.oversight.models import OversightTask, Stop
from governance.oversight.withholding import Content
from governance.principals import Role
from governance.refs import ObjectRef
from governance.tenants.context import RowScope, row_scope
from governance.tenants.models import User

pytestmark = pytest.mark.django_db(transaction=True)
ENDPOINT = "01a20bb7-0000-7000-8000-000000000001"
PASSWORD = "a long enough one"


@pytest.fixture
def person(principal_for, monkeypatch):
    """Somebody with a password; returns the principal and the options that name them."""

    def make(tenant, role):
        principal = principal_for(tenant, role)
        user = User.objects.get(pk=principal.user_id)
        user.set_password(PASSWORD)
        user.save()
        return principal, [f"--as={user.username}", f"--tenant={tenant.slug}"]

    return make


@pytest.fixture
def run(monkeypatch):
    def call(*arguments, password=PASSWORD):
        out = io.StringIO()
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
        call_command("oversight", *map(str, arguments), stdout=out)
        return out.getvalue()

    return call


@contextmanager
def acting(principal):
    with row_scope(RowScope(principal.tenant_id, principal.platform)), transaction.atomic():
        yield


def test_a_task_from_contest_to_appeal(person, run, org):
    _developer, hers = person(org, Role.DEVELOPER)
    _clerk, his = person(org, Role.DATA_SCIENTIST)
    said = ["--decision=request-7", "--reason=the income was misread"]
    task = run("contest", "endpoint", ENDPOINT, "--label=credit", *said, *hers).split()[0]
    row = json.loads(run("queue", "--json"))[0]
    assert (row["id"], row["cause"], row["from"]) == (task, "contested", "credit")
    assert "looks at it" in run("claim", task, *his)
    assert "waiting" in run("give-back", task, *his)
    with pytest.raises(CommandError, match="not among"):
        run("decide", task, "--answer=perhaps", "--reason=because", *his)
    assert "decided" in run("decide", task, "--answer=reject", "--reason=it is right", *his)
    again = run("appeal", task, "--reason=there is a second income", *hers).split()[0]
    with pytest.raises(CommandError, match="somebody else"):
        run("decide", again, "--answer=confirm", "--reason=because", *his)
    assert "withdrawn" in run("withdraw", again, "--reason=settled", *hers)


def test_nobody_acts_with_a_wrong_password_or_in_a_foreign_tenant(person, run, org, other_org):
    clerk, his = person(org, Role.DATA_SCIENTIST)
    _stranger, theirs = person(other_org, Role.DATA_SCIENTIST)
    with acting(clerk):
        task = withholding.withhold(
            holder=clerk,
            action="rollouts.endpoint.invoke",
            context={},
            content=Content(b"{}", "application/json"),
            subject=ObjectRef("rollouts.endpoint", ENDPOINT),
            tenant_id=org.id,
            decision_id="request-1",
        )
    for options in (his, [his[0], theirs[1]], ["--as=nobody", his[1]]):
        with pytest.raises(CommandError, match="not right"):
            run("claim", task.id, *options, password=PASSWORD if options is not his else "a wrong one")
    with pytest.raises(CommandError, match="no such task"):
        run("claim", task.id, *theirs)
    with pytest.raises(CommandError, match="asked for this yourself"):
        run("look", task.id, *his)
    _admin, admins = person(org, Role.TENANT_ADMIN)
    assert run("look", task.id, *admins).strip() == "{}"
    with acting(clerk):
        assert OversightTask.objects.get().state == "open"


def test_rules(person, run, org):
    _admin, options = person(org, Role.TENANT_ADMIN)
    assert "no oversight rule" in run("rules")
    made = run(
        "rule", "endpoint", ENDPOINT, "--question=Is it right?", "--confidence-below=0.8", *options
    ).split()[0]
    assert json.loads(run("rules", "--json"))[0]["confidence_below"] == 0.8
    run("remove-rule", made, *options)
    assert "no oversight rule" in run("rules")


def test_a_release_is_asked_for_by_a_person(person, run, org):
    admin, options = person(org, Role.TENANT_ADMIN)
    run("stop", "endpoint", f"--tenant={org.slug}", f"--id={ENDPOINT}", "--reason=wrong answers")
    stop = json.loads(run("stops", "--json"))[0]["id"]
    assert "Somebody else" in run("ask-release", stop, "--reason=the model was replaced", *options)
    with acting(admin):
        assert Stop.objects.get().state == "releasing"


def test_the_second_person_releases_a_stop(person, run, org):
    _first, hers = person(org, Role.TENANT_ADMIN)
    _second, his = person(org, Role.TENANT_ADMIN)
    run("stop", "endpoint", f"--tenant={org.slug}", f"--id={ENDPOINT}", "--reason=wrong answers")
    stop = json.loads(run("stops", "--json"))[0]["id"]
    run("ask-release", stop, "--reason=the model was replaced", *hers)
    with pytest.raises(CommandError):
        run("release", stop, *hers)
    assert "released" in run("release", stop, *his)
    assert json.loads(run("stops", "--json")) == []
