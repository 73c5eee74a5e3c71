"""`openclaw batch` and the Python client against a real site: a file, and a dataset that a program was lent."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from django.core.management import call_command
from django.db import transaction

from governance.audit.models import AuditEntry
from governance.data import datasets
from governance.data.reading_rights import grant_reading, revoke_reading
from governance.errors import AccessDenied, NotFound
from governance.ids import uuid7
from governance.principals import Role
from governance.tenants.context import tenant_context
from inference.rollouts.services import grant_invoke
from inference.serving.models import BatchJob
from openclaw_client import Client, ClientError
from openclaw_site.cli.batch import batch
from tests.factories.governance import make_application
from tests.inference.serving.batch.jobs import compute, rows

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]


@pytest.fixture
def dataset(admin, org):
    with tenant_context(org.id):
        return datasets.upload_dataset(
            principal=admin, name="loans", filename="loans.jsonl", chunks=[rows(3)], label="confidential"
        )


@pytest.fixture
def program(admin, endpoint, org, member):
    """A client of the tenant that may call the endpoint, and its secret."""
    application, secret = make_application(org, scopes=["batch:write"], owner=member(org, Role.TENANT_ADMIN))
    with tenant_context(org.id):
        grant_invoke(principal=admin, endpoint_id=endpoint.id, application_id=application.id)
    return application, secret


@pytest.fixture
def site(request, settings):
    """The site's address; it serves no static files."""
    Path(settings.STATIC_ROOT).mkdir(exist_ok=True)
    return request.getfixturevalue("live_server").url


@pytest.fixture
def run(site, program):
    application, secret = program
    environment = {
        "OPENCLAW_URL": site,
        "OPENCLAW_CLIENT_ID": application.client_id,
        "OPENCLAW_CLIENT_SECRET": secret,
    }
    return lambda *given: CliRunner().invoke(batch, [str(one) for one in given], env=environment)


def job_of(answer):
    assert answer.exit_code == 0, answer.output
    return json.loads(answer.output)


def found(job, org):
    with tenant_context(org.id), transaction.atomic():
        return BatchJob.objects.get(pk=job["id"])


def test_a_file_from_start_to_result(run, org, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(rows(3))
    job = job_of(run("start", "adder", file, "--key", "night"))
    assert job_of(run("start", "adder", file, "--key", "night"))["id"] == job["id"]
    assert job_of(run("pause", job["id"]))["state"] == "paused"
    assert job_of(run("resume", job["id"]))["state"] == "queued"
    done = compute(found(job, org))
    assert job_of(run("show", job["id"]))["state"] == "succeeded"
    answer = run("result", job["id"], tmp_path / "answers.jsonl")
    assert answer.output.strip() == done.result_sha256
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == [1, 2, 3]
    refused = run("cancel", job["id"])
    assert refused.exit_code == 1
    assert "succeeded" in refused.output.lower()


def test_waiting_writes_the_result_at_the_end(run, org, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(rows(2))
    answers = []
    waiting = threading.Thread(
        target=lambda: answers.append(run("start", "adder", file, "--wait", tmp_path / "answers.jsonl"))
    )
    waiting.start()
    while waiting.is_alive():
        with tenant_context(org.id), transaction.atomic():
            job = BatchJob.objects.filter(state="queued").first()
        if job is not None:
            compute(job)
        waiting.join(0.2)
    assert job_of(answers[0])["state"] == "succeeded"
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 2


def test_a_program_reads_a_dataset_only_while_it_is_lent_to_it(run, program, dataset, admin, org):
    application, _secret = program
    refused = run("start", "adder", "--dataset", dataset.id)
    assert refused.exit_code == 1
    with tenant_context(org.id):
        for _twice in range(2):
            grant_reading(principal=admin, dataset_id=dataset.id, application_id=application.id)
    done = compute(found(job_of(run("start", "adder", "--dataset", dataset.id)), org))
    assert (done.state, done.dataset_id) == ("succeeded", dataset.id)
    with tenant_context(org.id):
        revoke_reading(principal=admin, dataset_id=dataset.id, application_id=application.id)
    assert run("start", "adder", "--dataset", dataset.id).exit_code == 1
    with tenant_context(org.id), transaction.atomic():
        actions = AuditEntry.objects.filter(target_id=str(dataset.id)).values_list("action", flat=True)
        assert {"data.dataset.grant", "data.dataset.revoke", "data.dataset.read"} <= set(actions)


def test_who_may_lend_a_dataset(program, dataset, admin, org, other_org, principal_for):
    application, _secret = program
    given = {"dataset_id": dataset.id, "application_id": application.id}
    with tenant_context(org.id):
        with pytest.raises(AccessDenied):
            grant_reading(principal=principal_for(org, Role.DATA_SCIENTIST), **given)
        with pytest.raises(NotFound):
            grant_reading(principal=admin, **given | {"dataset_id": uuid7()})
        with pytest.raises(NotFound):
            grant_reading(principal=admin, **given | {"application_id": uuid7()})
    with tenant_context(other_org.id), pytest.raises(NotFound):
        grant_reading(principal=principal_for(other_org, Role.TENANT_ADMIN), **given)


def test_the_operator_lends_from_the_command_line_and_an_administrator_by_rest(
    run, program, dataset, org, member, client
):
    application, _secret = program
    call_command("data", "lend", str(dataset.id), str(application.id))
    assert run("start", "adder", "--dataset", dataset.id).exit_code == 0
    call_command("data", "take-back", str(dataset.id), str(application.id))
    assert run("start", "adder", "--dataset", dataset.id).exit_code == 1
    client.force_login(member(org, Role.TENANT_ADMIN), backend="django.contrib.auth.backends.ModelBackend")
    path = f"/api/v1/datasets/{dataset.id}/grants/{application.id}"
    assert client.put(path).status_code == 204
    assert run("start", "adder", "--dataset", dataset.id).exit_code == 0
    assert client.delete(path).status_code == 204
    assert run("start", "adder", "--dataset", dataset.id).exit_code == 1


def test_what_is_said_wrongly(run, program, site, tmp_path):
    assert run("start", "adder").exit_code == 2
    assert run("show", uuid7()).exit_code == 1
    application, secret = program
    with Client(site, client_id=application.client_id, client_secret=secret, scope="batch:write") as asked:
        with pytest.raises(ValueError, match="one of the two"):
            asked.start_batch("adder")
        with pytest.raises(ClientError):
            asked.start_batch("nobody", _file(tmp_path))


def _file(folder: Path) -> Path:
    file = folder / "rows.jsonl"
    file.write_bytes(rows(1))
    return file
