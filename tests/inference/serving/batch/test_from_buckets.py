"""A batch job over an object in a bucket: only what the operator lends, one copy, and never another content.

The bucket is moto's server, a stand-in that speaks S3 over HTTP; no real service is asked.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import boto3
import pytest
from django.db import transaction
from moto.server import ThreadedMotoServer

from governance.data import datasets
from governance.errors import InvalidInput
from governance.tenants.context import tenant_context
from inference.serving.batch import files, planning
from inference.serving.batch.services import create_batch_job
from inference.serving.models import BatchJob
from openclaw_site.config import Config, ConfigError
from tests.inference.serving.batch.jobs import compute, result, rows

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("valkey")]
CONTENT = rows(3)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def service():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with client_of(f"http://{host}:{port}") as client:
        client.create_bucket(Bucket="exports", CreateBucketConfiguration={"LocationConstraint": "eu-1"})
    yield f"http://{host}:{port}"
    server.stop()


def client_of(service):
    return contextlib.closing(
        boto3.client(
            "s3",
            endpoint_url=service,
            region_name="eu-1",
            aws_access_key_id="id",
            aws_secret_access_key="secret",
        )
    )


@pytest.fixture
def bucket(service, settings, org):
    settings.OPENCLAW_DATA_BUCKETS = ((org.slug, "exports", "loans/"),)
    settings.OPENCLAW_DATA_S3 = {
        "endpoint_url": service,
        "region_name": "eu-1",
        "addressing_style": "path",
        "access_key": "id",
        "secret_key": "secret",
    }
    with client_of(service) as client:
        client.put_object(Bucket="exports", Key="loans/may.jsonl", Body=CONTENT)
        client.put_object(Bucket="exports", Key="others/may.jsonl", Body=CONTENT)
        yield client


def registered(principal, location="s3://exports/loans/may.jsonl", *, digest=DIGEST, **described):
    with tenant_context(principal.tenant_id):
        return datasets.reference_dataset(
            principal=principal, name=f"from {location[-40:]}", location=location, digest=digest, **described
        )


def start(principal, dataset):
    with tenant_context(principal.tenant_id):
        return create_batch_job(principal=principal, endpoint_name="adder", dataset_id=dataset.id)


def test_the_object_is_copied_sealed_and_computed(admin, endpoint, org, bucket):
    job = start(admin, registered(admin, label="confidential"))
    assert (job.filename, job.input_sha256, job.input_bytes) == ("may.jsonl", DIGEST, 0)
    done = compute(job)
    assert (done.state, done.rows_ok, done.input_bytes) == ("succeeded", 3, len(CONTENT))
    assert [line["outputs"]["y"] for line in result(done)] == [[1, 1, 1], [2, 1, 1], [3, 1, 1]]
    with tenant_context(org.id):
        assert files.input_path(done).read_bytes() == CONTENT


def test_it_is_fetched_once(admin, endpoint, org, bucket):
    job = start(admin, registered(admin))
    with tenant_context(org.id):
        with transaction.atomic():
            row = BatchJob.objects.get(pk=job.pk)
        planning.fetch(row, lambda: None)
    bucket.delete_object(Bucket="exports", Key="loans/may.jsonl")
    assert compute(job).state == "succeeded"


def test_another_content_than_was_registered_is_refused_and_not_kept(admin, endpoint, org, bucket):
    job = start(admin, registered(admin))
    bucket.put_object(Bucket="exports", Key="loans/may.jsonl", Body=rows(4))
    done = compute(job)
    assert (done.state, "its digest is another" in done.error) == ("failed", True)
    with tenant_context(org.id):
        assert not files.input_path(done).exists()


def test_too_much_and_nothing_end_the_job_with_a_sentence(admin, endpoint, bucket, settings):
    gone = start(admin, registered(admin, "s3://exports/loans/june.jsonl"))
    assert "There is no object" in compute(gone).error
    large = start(admin, registered(admin))
    settings.BATCH_UPLOAD_MAX_BYTES = 20
    assert "larger than 20 bytes" in compute(large).error


@pytest.mark.parametrize(
    "location",
    [
        "s3://exports/others/may.jsonl",
        "s3://exports/loans/../others/may.jsonl",
        "s3://exports/loans//may.jsonl",
        "s3://exports/loans",
        "s3://other-bucket/loans/may.jsonl",
        "s3://exports/loans/may.jsonl?versionId=1",
        "http://169.254.169.254/loans/may.jsonl",
        "https://exports/loans/may.jsonl",
        "file:///etc/loans.jsonl",
    ],
)
def test_what_is_not_lent_is_never_asked_for(admin, endpoint, org, bucket, location):
    with pytest.raises(InvalidInput, match="no bucket that may be read"):
        start(admin, registered(admin, location))
    with tenant_context(org.id), transaction.atomic():
        assert not BatchJob.objects.exists()


def test_another_tenants_bucket_is_not_lent(admin, endpoint, other_org, bucket, settings):
    settings.OPENCLAW_DATA_BUCKETS = ((other_org.slug, "exports", ""),)
    with pytest.raises(InvalidInput):
        start(admin, registered(admin))


def test_what_is_lent_no_more_is_not_fetched(admin, endpoint, bucket, settings):
    job = start(admin, registered(admin))
    settings.OPENCLAW_DATA_BUCKETS = ()
    assert "no bucket that may be read" in compute(job).error


def test_without_a_digest_nothing_says_what_is_read(admin, endpoint, bucket):
    with pytest.raises(InvalidInput, match="without a digest"):
        start(admin, registered(admin, digest=""))


def test_while_the_storage_is_away_the_job_waits_and_no_attempt_counts(admin, endpoint, bucket, settings):
    job = start(admin, registered(admin))
    service = settings.OPENCLAW_DATA_S3
    settings.OPENCLAW_DATA_S3 = service | {"endpoint_url": "http://127.0.0.1:1"}
    for _again in range(7):
        waiting = compute_plan(job)
        assert (waiting.state, waiting.plan_attempts, waiting.planned_until) == ("queued", 0, None)
    settings.OPENCLAW_DATA_S3 = service
    assert compute(job).state == "succeeded"


def test_a_storage_that_refuses_ends_the_job(admin, endpoint, bucket, refusing):
    job = start(admin, registered(admin))
    assert "does not let this site read" in compute(refusing(job)).error


@pytest.fixture
def refusing(settings):
    """The credentials are known, and may not."""

    class Refusing(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(403)
            self.end_headers()

        def log_message(self, *_args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def use(job):
        settings.OPENCLAW_DATA_S3 |= {"endpoint_url": f"http://127.0.0.1:{server.server_port}"}
        return job

    yield use
    server.shutdown()
    server.server_close()
    thread.join()


def compute_plan(job):
    with tenant_context(job.tenant_id):
        planning.plan(job.id)
        with transaction.atomic():
            return BatchJob.objects.get(pk=job.pk)


def test_the_configuration_names_tenant_bucket_and_prefix(tmp_path):
    file = tmp_path / "credentials"
    file.write_text("the-id\nthe-secret\n")
    config = Config.from_environ(
        {
            "OPENCLAW_DATA_BUCKETS": "acme=exports/loans, demo=shared",
            "OPENCLAW_DATA_S3_ENDPOINT": "https://s3.example",
            "OPENCLAW_DATA_S3_CREDENTIALS_FILE": str(file),
        }
    )
    assert config.data_buckets == (("acme", "exports", "loans/"), ("demo", "shared", ""))
    assert config.data_s3.options == {
        "region_name": None,
        "endpoint_url": "https://s3.example",
        "addressing_style": "path",
        "access_key": "the-id",
        "secret_key": "the-secret",
    }
    assert Config.from_environ({}).data_s3 is None
    with pytest.raises(ConfigError, match="tenant=bucket"):
        Config.from_environ({"OPENCLAW_DATA_BUCKETS": "exports/loans"})
    file.write_text("one")
    with pytest.raises(ConfigError, match="OPENCLAW_DATA_S3_CREDENTIALS_FILE"):
        _ = config.data_s3.options
