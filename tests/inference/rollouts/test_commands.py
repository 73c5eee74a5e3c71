"""`openclaw rollout`, `openclaw experiment` and the Python client's calls of the same names, against a real site."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from django.db import transaction

from governance.audit.models import AuditEntry
from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.rollouts import rollout_services
from inference.rollouts.feedback import Item, give_feedback
from inference.rollouts.models import Rollout
from openclaw_client import RELEASE, Client, ClientError
from openclaw_site.cli import main
from openclaw_site.cli.experiment import experiment
from openclaw_site.cli.rollout import rollout
from tests.factories.governance import make_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture
def site(request, settings):
    """The site's address; it serves no static files."""
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)
    return request.getfixturevalue("live_server").url


@pytest.fixture
def credentials(org):
    """Of a program that may release."""
    application, secret = make_application(org, scopes=RELEASE.split(), role=Role.TENANT_ADMIN)
    return {"client_id": application.client_id, "client_secret": secret}


@pytest.fixture
def run(site, credentials):
    environment = {"OPENCLAW_URL": site} | {
        f"OPENCLAW_{name.upper()}": value for name, value in credentials.items()
    }
    return lambda group, *given: CliRunner().invoke(group, [str(one) for one in given], env=environment)


@pytest.fixture
def client(site, credentials):
    with Client(site, **credentials, scope=RELEASE) as made:
        yield made


def told(answer):
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.output)


def kept(org, rollout_id):
    with tenant_context(org.id), transaction.atomic():
        rows = AuditEntry.objects.filter(target_id=rollout_id, action__startswith="rollouts.rollout.")
        return list(rows.order_by("sequence").values_list("action", "reason"))


def test_a_canary_from_its_start_to_its_promotion(run, endpoint, org, split):
    begun = told(run(rollout, "start", endpoint.name, "2.0.0", "--steps", "10,40", "--reason", "faster"))
    assert (begun["state"], begun["stable"], begun["candidate"]) == ("running", "1.0.0", "2.0.0")
    assert [step["percent"] for step in begun["plan"]["steps"]] == [10, 40]
    assert split() == {"1.0.0": 90, "2.0.0": 10}
    listed = run(rollout, "list", "--endpoint", endpoint.name, "--state", "running")
    assert begun["id"] in listed.output and "1.0.0 → 2.0.0" in listed.output
    held = told(run(rollout, "hold", begun["id"], "--reason", "the data centre moves"))
    assert held["state"] == "holding" and held["question"]
    assert told(run(rollout, "resume", begun["id"], "--reason", "moved"))["state"] == "running"
    assert told(run(rollout, "show", begun["id"]))["last_look"] is None
    assert told(run(rollout, "show", begun["id"], "--looks")) == []
    assert told(run(rollout, "promote", begun["id"], "--reason", "good"))["state"] == "promoted"
    assert split() == {"1.0.0": 0, "2.0.0": 100}
    assert kept(org, begun["id"]) == [
        ("rollouts.rollout.start", "faster"),
        ("rollouts.rollout.hold", "the data centre moves"),
        ("rollouts.rollout.resume", "moved"),
        ("rollouts.rollout.promote", "good"),
    ]


@pytest.mark.parametrize(("step", "state"), [("roll-back", "rolled_back"), ("cancel", "cancelled")])
def test_a_rollout_is_taken_back(run, endpoint, split, step, state):
    begun = told(run(rollout, "start", endpoint.name, "2.0.0", "--kind", "blue_green"))
    assert split() == {"1.0.0": 0, "2.0.0": 100}
    assert told(run(rollout, step, begun["id"], "--reason", "worse"))["state"] == state
    assert split()["1.0.0"] == 100
    again = run(rollout, step, begun["id"], "--reason", "worse")
    assert again.exit_code == 1 and "Traceback" not in again.output


def test_only_a_rollout_that_waits_is_decided(run, endpoint, admin):
    begun = told(run(rollout, "start", endpoint.name, "2.0.0"))
    early = run(rollout, "decide", begun["id"], "roll-back", "--reason", "I think so")
    assert early.exit_code == 1 and "moved on" in early.output
    with tenant_context(endpoint.tenant_id):
        rollout_services.hold(principal=admin, rollout_id=begun["id"], reason="no decision in a day")
    done = told(run(rollout, "decide", begun["id"], "roll-back", "--reason", "too slow"))
    assert (done["state"], done["ended_reason"], done["question"]) == ("rolled_back", "too slow", None)


def test_versions_compete_until_one_is_named(run, endpoint, split):
    begun = told(run(rollout, "compete", endpoint.name, "2.0.0", "3.0.0", "--policy", "ucb1", "--floor", "5"))
    assert (begun["kind"], begun["plan"]["policy"], begun["plan"]["floor"]) == ("bandit", "ucb1", 5)
    unnamed = run(rollout, "promote", begun["id"])
    assert unnamed.exit_code == 1 and "2.0.0" in unnamed.output
    assert told(run(rollout, "promote", begun["id"], "--version", "3.0.0"))["state"] == "promoted"
    assert split()["3.0.0"] == 100


def test_the_split_is_shown_set_estimated_and_taken_back(run, endpoint, traffic, split, admin):
    set_to = told(run(rollout, "split", endpoint.name, "1.0.0=70", "2.0.0=30", "--reason", "a try"))
    assert {arm["version"]: arm["weight"] for arm in set_to["split"]} == {"1.0.0": 70, "2.0.0": 30}
    assert told(run(rollout, "split", endpoint.id))["split"] == set_to["split"]
    told_of = [(record, 0.2) for record in traffic("1.0.0", 35, propensity=0.7)]
    told_of += [(record, 0.9) for record in traffic("2.0.0", 15, propensity=0.3)]
    with tenant_context(endpoint.tenant_id):
        items = [Item(record.id, str(record.id), {"reward": earned}) for record, earned in told_of]
        give_feedback(principal=admin, items=items)
    estimated = told(
        run(rollout, "split", endpoint.name, "1.0.0=0", "2.0.0=100", "--estimate", "--reward", "reward")
    )
    assert (estimated["weights"], estimated["decisions"]) == ({"1.0.0": 0, "2.0.0": 100}, 50)
    assert estimated["earned"]["value"] == pytest.approx(0.41)
    assert all(found["value"] > 0.7 for found in estimated["values"])
    assert split() == {"1.0.0": 70, "2.0.0": 30}, "an estimate changes nothing"
    told(run(rollout, "split", endpoint.name, "--undo", "--reason", "enough"))
    assert split()["1.0.0"] == 100
    wrong = run(rollout, "split", endpoint.name, "1.0.0=70", "2.0.0=20")
    assert wrong.exit_code == 1 and "100" in wrong.output


def test_rules_are_set_from_a_file(run, endpoint, tmp_path):
    told(run(rollout, "split", endpoint.name, "1.0.0=100", "2.0.0=0"))
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"shadows": [{"version": "2.0.0", "percent": 10}]}))
    rules = told(run(rollout, "routing", endpoint.name, file, "--reason", "watch it"))
    assert rules == {"cohorts": [], "shadows": [{"version": "2.0.0", "percent": 10}]}
    assert told(run(rollout, "routing", endpoint.name)) == rules
    file.write_text('{"cohort": []}')
    assert "cohort" in run(rollout, "routing", endpoint.name, file).output


def test_an_experiment_from_its_size_to_its_winner(run, endpoint, split, org, tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"effect": 0.5, "guardrails": [], "max_s": 3600}))
    asked = (
        endpoint.name,
        "2.0.0",
        "3.0.0",
        "--plan",
        plan,
        "--effect",
        "0.02",
        "--metric",
        "task_completed",
    )
    sized = told(run(experiment, "plan", *asked, "--per-second", "20"))
    assert (sized["plan"]["metric"], sized["plan"]["effect"]) == ("task_completed", 0.02)
    assert [arm["version"] for arm in sized["size"]["arms"]] == ["2.0.0", "3.0.0"]
    assert sized["size"]["per_second"] == 20
    assert all(arm["requests"] > 100 and arm["duration_s"] > 0 for arm in sized["size"]["arms"])
    assert split() == {"1.0.0": 100}, "nothing is changed"
    begun = told(run(experiment, "start", *asked, "--reason", "which of them"))
    assert (begun["kind"], begun["state"]) == ("experiment", "running")
    assert split() == {"1.0.0": 34, "2.0.0": 33, "3.0.0": 33}
    told(run(experiment, "stop", begun["id"], "--version", "3.0.0", "--reason", "bad texts"))
    assert split() == {"1.0.0": 67, "2.0.0": 33, "3.0.0": 0}
    assert told(run(experiment, "show", begun["id"]))["state"] == "running"
    assert told(run(experiment, "show", begun["id"], "--looks")) == []
    done = told(run(experiment, "winner", begun["id"], "2.0.0", "--reason", "better"))
    assert done["state"] == "promoted"
    assert split()["2.0.0"] == 100
    assert kept(org, begun["id"])[-1] == ("rollouts.rollout.promote", "better")


def test_an_experiment_with_shares_is_stopped(run, endpoint, split):
    shares = ("1.0.0=80", "2.0.0=20")
    begun = told(run(experiment, "start", endpoint.name, *shares, "--effect", "0.05"))
    assert split() == {"1.0.0": 80, "2.0.0": 20}
    assert told(run(experiment, "stop", begun["id"], "--reason", "enough"))["state"] == "cancelled"
    assert split()["1.0.0"] == 100


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["split", "adder", "1.0.0:70"], "VERSION=PERCENT"),
        (["split", "adder", "1.0.0=7", "1.0.0=93"], "twice"),
        (["split", "adder", "--undo", "1.0.0=100"], "--undo"),
        (["split", "adder", "--estimate"], "which split"),
        (["start", "adder", "2.0.0", "--steps", "five"], "5,25,50"),
        (["hold", "0190"], "--reason"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_the_site_is_asked(given, said):
    nowhere = dict.fromkeys(("OPENCLAW_CLIENT_ID", "OPENCLAW_CLIENT_SECRET"), "x")
    answer = CliRunner().invoke(rollout, given, env={"OPENCLAW_URL": "http://127.0.0.1:9", **nowhere})
    assert answer.exit_code == 2
    assert said in answer.output


def test_the_client_says_what_the_site_said(client, endpoint, org):
    with pytest.raises(ClientError) as nobody:
        client.start_rollout("nobody", "2.0.0")
    assert nobody.value.status == 404
    with pytest.raises(ClientError) as same:
        client.start_rollout(endpoint.name, "1.0.0")
    assert same.value.status == 400
    begun = client.start_rollout(str(endpoint.id), "2.0.0", plan={"steps": [{"percent": 5}]})
    with pytest.raises(ClientError) as second:
        client.start_rollout(endpoint.name, "3.0.0")
    assert second.value.status == 409
    with pytest.raises(ClientError) as step:
        client.change_rollout(begun["id"], "promote", expected_step=4)
    assert step.value.status == 409
    assert client.rollout(begun["id"])["state"] == "running"


def test_the_client_reads_every_page(client, endpoint, org):
    for _ in range(52):
        begun = client.start_rollout(endpoint.name, "2.0.0")
        client.change_rollout(begun["id"], "cancel")
    found = client.rollouts(endpoint=endpoint.name, state="cancelled")
    assert len({row["id"] for row in found}) == len(found) == 52
    assert found[0]["id"] == begun["id"]


def test_a_program_that_may_not_release_is_refused(site, endpoint, org):
    application, secret = make_application(org, scopes=RELEASE.split(), role=Role.DEVELOPER)
    with Client(site, client_id=application.client_id, client_secret=secret, scope=RELEASE) as reader:
        with pytest.raises(ClientError) as refused:
            reader.start_rollout(endpoint.name, "2.0.0")
        assert refused.value.status == 403
        with pytest.raises(ClientError) as refused:
            reader.set_split(endpoint.name, {"1.0.0": 50, "2.0.0": 50})
        assert refused.value.status == 403
    with tenant_context(org.id), transaction.atomic():
        assert not Rollout.objects.exists()


@pytest.mark.parametrize("name", ["rollout", "experiment"])
def test_it_is_a_command_and_tells_what_it_does(name):
    group = main.get_command(click.Context(main), name)
    assert isinstance(group, click.Group)
    assert all(command.help for command in group.commands.values())
