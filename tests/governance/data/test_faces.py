"""The catalogue's pages, REST and commands: they show what is there, and refuse what the services refuse."""

from __future__ import annotations

import ast
import json
import re
from io import StringIO
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from governance.data import datasets, loosening, pools, services
from governance.data.erasing import request_erasure, run_erasure
from governance.data.models import Asset, Dataset, Declassification, Erasure, LineageEdge
from governance.data.placement import Work, place
from governance.data.placement_log import log
from governance.ids import uuid7
from governance.principals import SYSTEM, Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from inference.registry.artifacts import is_intact
from tests.factories.inference import make_endpoint, make_version
from tests.site.meta.product import AREAS, CHECKOUT, sources

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]


def browser(person) -> Client:
    made = Client()
    made.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return made


@pytest.fixture
def in_org(org):
    log.forget()
    with tenant_context(org.id):
        yield org
    log.forget()


@pytest.fixture
def admin(in_org, member):
    return browser(member(in_org, Role.TENANT_ADMIN))


@pytest.fixture
def steward(in_org, principal_for):
    return principal_for(in_org, Role.DATA_SCIENTIST)


@pytest.fixture
def dataset(steward):
    return datasets.reference_dataset(
        principal=steward,
        name="loans",
        location="s3://bank/loans",
        label="confidential",
        subjects=["personal"],
    )


@pytest.fixture
def version(in_org, steward, dataset):
    return make_version(steward, trained_on=[dataset.asset.target])


def asset_of(row) -> Asset:
    return Asset.objects.get(type=row._meta.label_lower, object_id=str(row.pk))


def test_a_version_and_its_endpoint_enter_by_themselves_and_take_their_sources_label(steward, version):
    made = asset_of(version)
    assert (made.label, made.subjects, made.digest) == ("confidential", ["personal"], version.sha256)
    endpoint = make_endpoint(steward, version)
    assert asset_of(endpoint).label == "confidential"
    assert set(LineageEdge.objects.values_list("relation", flat=True)) == {
        "derived_from",
        "trained_on",
        "deployed_to",
    }


def test_the_pages_show_the_catalogue_the_lineage_and_the_datasets(admin, steward, version, dataset):
    make_endpoint(steward, version)
    for route in ("data-catalogue", "data-datasets", "data-placement", "data-erasures"):
        assert admin.get(reverse(route)).status_code == 200
    listed = admin.get(reverse("data-catalogue"), {"text": "loans", "label": "confidential"}).content.decode()
    assert "loans" in listed
    assert "nothing of that name" not in listed
    page = admin.get(reverse("data-asset", args=[dataset.asset_id])).content.decode()
    assert "<svg" in page
    assert "adder 1.0.0" in page
    assert 'style="' not in page.split("<main")[1]


def test_another_tenants_asset_looks_like_none(other_org, member, dataset):
    stranger = browser(member(other_org, Role.TENANT_ADMIN))
    for asset_id in (dataset.asset_id, uuid7()):
        assert stranger.get(reverse("data-asset", args=[asset_id])).status_code == 404
        assert stranger.get(f"/api/v1/assets/{asset_id}/").status_code == 404
        assert stranger.get("/api/v1/lineage/", {"asset": str(asset_id)}).status_code == 404


def test_a_dataset_is_registered_on_the_page_and_a_bad_one_is_explained(admin):
    file = SimpleUploadedFile("a.csv", b"a\n1\n")
    made = admin.post(reverse("data-datasets"), {"name": "cars", "file": file, "label": "restricted"})
    assert made.status_code == 302
    assert Dataset.objects.get().asset.label == "restricted"
    again = admin.post(reverse("data-datasets"), {"name": "cars", "location": "s3://x/y"})
    assert again.status_code == 409
    assert "already" in again.content.decode()


def test_a_label_is_raised_and_lowered_on_the_page_by_two_people(admin, in_org, member, dataset):
    address = reverse("data-label", args=[dataset.asset_id])
    admin.post(address, {"label": "internal", "reason": "it is old"})
    dataset.asset.refresh_from_db()
    assert dataset.asset.label == "confidential"
    admin.post(address, {"label": "internal", "reason": "anonymised", "lower": "1"})
    wish = Declassification.objects.get()
    decide = reverse("data-declassification", args=[wish.id])
    assert admin.post(decide, {"verdict": "approve", "reason": "fine"}).status_code == 403
    second = browser(member(in_org, Role.TENANT_ADMIN))
    assert "asks to loosen" in second.get(reverse("data-catalogue")).content.decode()
    assert second.post(decide, {"verdict": "approve", "reason": "checked"}).status_code == 302
    dataset.asset.refresh_from_db()
    assert dataset.asset.label == "internal"


def test_the_api_tells_and_changes_the_same(admin, version, dataset):
    listed = admin.get("/api/v1/assets/", {"label": "confidential"}).json()["results"]
    assert {row["name"] for row in listed} == {"loans", "adder 1.0.0"}
    raised = admin.post(
        f"/api/v1/assets/{dataset.asset_id}/label/",
        {"label": "restricted", "subjects": ["personal"], "reason": "names"},
        content_type="application/json",
    ).json()
    assert [row["name"] for row in raised["raised"]] == ["adder 1.0.0"]
    lowered = admin.post(
        f"/api/v1/assets/{dataset.asset_id}/label/",
        {"label": "public", "subjects": [], "reason": "x"},
        content_type="application/json",
    )
    assert (lowered.status_code, lowered.json()["type"]) == (400, "urn:openclaw:problem:lowers-label")
    walked = admin.get("/api/v1/lineage/", {"asset": str(dataset.asset_id)}).json()
    assert [node["depth"] for node in walked["nodes"]] == [0, 1]
    assert admin.get("/api/v1/lineage/", {"prediction": "no-such"}).status_code == 404
    trial = admin.post(
        "/api/v1/placements/try/", {"assets": [str(dataset.asset_id)]}, content_type="application/json"
    ).json()
    assert trial["pool"] == "private"
    made = admin.post(
        "/api/v1/erasures/",
        {"kind": "asset", "reference": str(dataset.asset_id), "reason": "asked"},
        content_type="application/json",
    )
    assert made.status_code == 201
    run_erasure(UUID(made.json()["id"]))
    places = admin.get(f"/api/v1/erasures/{made.json()['id']}/").json()["places"]
    assert {place["name"]: place["outcome"] for place in places} == {
        "Audit log": "retained",
        "loans": "by_hand",
        "adder 1.0.0": "must_retrain",
    }


def test_a_version_that_is_itself_erased_is_retired_and_loses_its_artifact(
    admin, steward, in_org, version, principal_for, django_capture_on_commit_callbacks
):
    make_endpoint(steward, version)
    made = request_erasure(
        principal=principal_for(in_org, Role.TENANT_ADMIN),
        kind="asset",
        reference=str(asset_of(version).id),
        reason="asked",
    )
    with django_capture_on_commit_callbacks(execute=True):
        run_erasure(made.id)
    version.refresh_from_db()
    assert version.state == "retired"
    assert not is_intact(in_org.id, version.sha256)
    assert asset_of(version).erased_at is not None


def test_what_was_erased_by_hand_is_said_on_the_page_and_by_the_api(admin, in_org, dataset, principal_for):
    made = request_erasure(
        principal=principal_for(in_org, Role.TENANT_ADMIN),
        kind="asset",
        reference=str(dataset.asset_id),
        reason="asked",
    )
    run_erasure(made.id)
    place = made.places.get(name="loans")
    assert f'value="{place.id}"' in admin.get(reverse("data-erasure", args=[made.id])).content.decode()
    address = reverse("data-erasure-step", args=[made.id])
    assert admin.post(address, {"step": "confirm", "place": "x", "note": "y"}).status_code == 404
    told = admin.post(
        f"/api/v1/erasures/{made.id}/confirm/",
        {"place": str(place.id), "note": ""},
        content_type="application/json",
    )
    assert told.status_code == 400
    done = {"step": "confirm", "place": str(place.id), "note": "bucket emptied"}
    assert admin.post(address, done).status_code == 302
    assert "bucket emptied" in admin.get(reverse("data-erasure", args=[made.id])).content.decode()
    assert admin.get(f"/api/v1/erasures/{made.id}/").json()["state"] == "done"


def test_what_must_be_retrained_is_flagged_in_the_registry_and_the_receipt_can_be_had(
    admin, steward, in_org, version, dataset, principal_for
):
    made = request_erasure(
        principal=principal_for(in_org, Role.TENANT_ADMIN),
        kind="asset",
        reference=str(dataset.asset_id),
        reason="asked",
    )
    assert admin.get(reverse("data-receipt", args=[made.id])).status_code == 404
    assert "hx-get" in admin.get(reverse("data-erasure", args=[made.id])).content.decode()
    run_erasure(made.id)
    assert "signature holds" in admin.get(reverse("data-erasure", args=[made.id])).content.decode()
    receipt = json.loads(admin.get(reverse("data-receipt", args=[made.id])).content)
    assert receipt["receipt"]["state"] == Erasure.State.INCOMPLETE
    assert "must be retrained" in admin.get("/console/registry/modelversion/").content.decode()


def test_refusals_are_told_by_the_rules_name_on_the_placement_page(platform, in_org, admin, member):
    target = ObjectRef("tests.data", str(uuid7()), label="scan")
    services.register_asset(principal=SYSTEM, target=target, tenant_id=in_org.id, region="ward-3")
    with pytest.raises(Exception, match="its region"):
        place(Work(tenant_id=in_org.id, task="batch.plan", workload="batch", assets=(target,)))
    log.flush()
    assert "openclaw.data-stays-in-its-region" in admin.get(reverse("data-placement")).content.decode()
    assert "mars-cloud" not in admin.get(reverse("data-placement")).content.decode()
    described = {
        "name": "ward-3",
        "kind": "edge",
        "region": "ward-3",
        "certified_for": "hipaa, ",
        "capacity": "5",
    }
    burst = {"workload": "batch", "threshold": "100", "pool": "mars-cloud"}
    assert admin.post(reverse("data-burst"), burst).status_code == 403
    own = {"name": "own-edge", "kind": "edge", "region": "ward-9"}
    assert admin.post(reverse("data-pool"), own).status_code == 302
    assert "bank.own-edge" in admin.get(reverse("data-placement")).content.decode()
    made = admin.post("/api/v1/compute-pools/", own | {"capacity": 9}, content_type="application/json")
    assert (made.json()["address"], made.json()["shared"]) == ("bank.own-edge", False)
    keeper = browser(member(platform, Role.PLATFORM_ADMIN))
    assert keeper.post(reverse("data-pool"), described).status_code == 302
    assert (
        place(Work(tenant_id=in_org.id, task="t", workload="batch", assets=(target,))).pool.name == "ward-3"
    )
    assert keeper.post(reverse("data-pool"), {"name": "mars-cloud", "kind": "public"}).status_code == 302
    assert keeper.post(reverse("data-burst"), burst).status_code == 302
    seen = admin.get(reverse("data-placement")).content.decode()
    assert "ward-3" in seen
    assert "longer than 100: what may move goes to mars-cloud" in seen
    home = described | {"name": "private"}
    assert keeper.post(reverse("data-pool"), home).status_code == 400


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("data", *arguments, stdout=out)
    return out.getvalue()


def test_the_commands(in_org, version, dataset):
    with platform_scope():
        pools.set_pool(principal=SYSTEM, name="cloud", kind="public")
    assert "loans" in command("assets", "--tenant=bank")
    assert json.loads(command("lineage", str(dataset.asset_id), "--json"))[1]["name"] == "adder 1.0.0"
    trail = json.loads(command("place", str(dataset.asset_id), "--json"))
    assert trail["pool"] == "private"
    assert [s["rule"] for s in trail["trail"] if s["pool"] == "cloud"] == [
        "openclaw.confidential-never-in-public"
    ]
    assert "1 things" in command(
        "label", str(dataset.asset_id), "restricted", "--subject=personal", "--reason=x"
    )
    assert "Queued" in command("erase", "customer-7", "--subject", "--tenant=bank", "--reason=asked")
    log.flush()
    assert "placements on" in command("replay-day", "--tenant=bank")
    assert json.loads(command("replay-day", "--json"))["placements"] > 0
    for bad in (
        ("label", str(dataset.asset_id), "public", "--reason=x"),
        ("assets", "--tenant=nobody"),
        ("lineage",),
        ("lineage", str(uuid7())),
        ("replay-day", "--pool-file=no-such.json"),
    ):
        with pytest.raises(CommandError):
            command(*bad)


def test_the_commands_of_datasets_pools_and_erasures(in_org, principal_for):
    assert "OPENCLAW_POOL=cloud." in command("set-pool", "cloud", "public", "--region=eu")
    assert "OPENCLAW_POOL=bank.ward." in command(
        "set-pool", "ward", "edge", "--tenant=bank", "--certified=hipaa"
    )
    assert "batch > 9" in command("set-burst", "batch", "9", "cloud")
    listed = {row["address"]: row for row in json.loads(command("pools", "--tenant=bank", "--json"))}
    assert set(listed) == {"private", "bank.ward", "cloud"}
    assert listed["cloud"]["burst"] == "batch > 9"
    register = ("register", "scans", "s3://ward/scans", "--tenant=bank", "--held-at=bank.ward", "--region=eu")
    asset_id = command(*register, "--label=restricted", "--subject=health").rstrip(".\n").split()[-1]
    assert json.loads(command("datasets", "--tenant=bank", "--json"))[0]["held at"] == "bank.ward"
    assert "Kept" in command("describe", asset_id, "--purpose=research", "--retention-days=30")
    loosening.request_declassification(
        principal=principal_for(in_org, Role.TENANT_ADMIN), asset_id=UUID(asset_id), purpose="", reason="open"
    )
    assert "research" in command("requests", "--tenant=bank")
    made = request_erasure(
        principal=principal_for(in_org, Role.TENANT_ADMIN), kind="asset", reference=asset_id, reason="asked"
    )
    with pytest.raises(CommandError):
        command("receipt", str(made.id))
    run_erasure(made.id)
    assert "by_hand" in command("erasures", str(made.id))
    assert "incomplete" in command("erasures", "--tenant=bank")
    assert json.loads(command("receipt", str(made.id)))["receipt"]["state"] == "incomplete"
    assert "tried again" in command("retry-erasure", str(made.id))
    assert "stopped" in command("cancel-erasure", str(made.id), "--reason=wrong one")
    for bad in (
        ("set-burst", "checks", "1", "cloud"),
        ("describe", asset_id, "--region=us"),
        ("erasures", str(uuid7())),
        ("retry-erasure", str(made.id), "--tenant=platform"),
        ("register", "x", "no address", "--tenant=bank"),
    ):
        with pytest.raises(CommandError):
            command(*bad)


def test_burst_rules_and_a_trial_have_faces(platform, in_org, admin, member, dataset):
    keeper = browser(member(platform, Role.PLATFORM_ADMIN))
    with platform_scope():
        pools.set_pool(principal=SYSTEM, name="cloud", kind="public")
    rule = {"workload": "batch", "threshold": 7, "pool": "cloud"}
    address = "/api/v1/burst-rules/"
    assert admin.post(address, rule, content_type="application/json").status_code == 403
    assert keeper.post(address, rule, content_type="application/json").json() == rule | {"enabled": True}
    bad = keeper.post(address, rule | {"workload": "default"}, content_type="application/json")
    assert bad.json()["type"] == "urn:openclaw:problem:workload-stays-home"
    assert admin.get(address).json() == [rule | {"enabled": True}]
    page = admin.get(reverse("data-placement"), {"asset": str(dataset.asset_id)}).content.decode()
    assert "It would run in private, by the queue batch." in page
    assert "openclaw.confidential-never-in-public" in page
    for unknown in ("x", str(uuid7())):
        answer = admin.get(reverse("data-placement"), {"asset": unknown})
        assert (answer.status_code, "There is no such asset." in answer.content.decode()) == (200, True)


def test_nothing_in_the_product_sends_a_message_but_enqueue():
    sending = re.compile(r"\b(send_task|apply_async|delay|si|s|signature)$")
    found = []
    for path in sources(*AREAS, "openclaw_site"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and sending.search(node.func.attr)
            ):
                found.append(f"{path.relative_to(CHECKOUT)}:{node.lineno} {ast.unparse(node.func)}")
    sent = [line for line in found if "send_task" in line or "apply_async" in line or ".delay" in line]
    # The clock's scheduler has placed the entry before Celery's own sends it.
    clock = [line for line in sent if line.startswith("openclaw_site/beat.py")]
    assert [line.split(" ")[1] for line in clock] == ["super().apply_async"]
    assert [line for line in sent if line not in clock] == [
        line for line in found if line.startswith("governance/tenants/tasks.py")
    ]
    assert len([line for line in found if line.startswith("governance/tenants/tasks.py")]) == 1
