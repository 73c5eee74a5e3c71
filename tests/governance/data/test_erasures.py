"""Erasure and retention: every place is found and handled, a stop is obeyed, and the receipt can be checked."""

from __future__ import annotations

import copy
import io
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.utils import timezone

from governance.data import datasets, erasers, pools, retention, services
from governance.data.erasers import Handled
from governance.data.erasing import (
    cancel_erasure,
    confirm_place,
    request_erasure,
    resume_stalled,
    retry_erasure,
    run_erasure,
)
from governance.data.models import Asset, Erasure, ErasurePlace
from governance.data.receipts import is_genuine
from governance.data.residence import StaysElsewhere
from governance.data.retention import keep_retention
from governance.errors import AccessDenied, Conflict, IllegalTransition, InvalidInput, NotFound
from governance.ids import uuid7
from governance.keys import services as keys
from governance.keys.envelopes import seal_stream
from governance.keys.sweeping import sweep_orphans
from governance.principals import SYSTEM, Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope, tenant_context
from tests.factories.files import written_days_ago

pytestmark = pytest.mark.django_db

Outcome = ErasurePlace.Outcome
ERASED: list[str] = []


@pytest.fixture(autouse=True)
def test_kinds():
    ERASED.clear()

    def erase(target, tenant_id):
        ERASED.append(target.label)
        return Handled(Outcome.ERASED, "gone")

    erasers.register(
        "tests.row", erase=erase, find=lambda key, tenant_id: [ObjectRef("tests.row", key, label=f"of {key}")]
    )
    erasers.register("tests.model", erase=lambda t, _tenant: Handled(Outcome.MUST_RETRAIN, "trained on it"))
    yield
    for known in (erasers._erase, erasers._erase_root, erasers._find):
        for kind in [kind for kind in known if kind.startswith("tests.")]:
            known.pop(kind)


@pytest.fixture
def in_org(org):
    with tenant_context(org.id):
        yield org


@pytest.fixture
def admin(in_org, principal_for):
    return principal_for(in_org, Role.TENANT_ADMIN)


@pytest.fixture
def dataset(admin):
    return datasets.upload_dataset(
        principal=admin, name="loans", filename="loans.csv", chunks=[b"a,b\n", b"1,2\n"], label="confidential"
    )


def asset(org, name, kind="tests.row", **values):
    target = ObjectRef(type=kind, id=str(uuid7()), label=name)
    return services.register_asset(principal=SYSTEM, target=target, tenant_id=org.id, **values)


def link(org, source, target, relation):
    services.link(
        principal=SYSTEM, source=source.target, target=target.target, relation=relation, tenant_id=org.id
    )


def outcomes(erasure):
    return {place.name: place.outcome for place in erasure.places.all()}


def test_an_uploaded_dataset_lies_sealed_and_opens_again(dataset, admin):
    path = Path(storages["objects"].path(f"{dataset.tenant_id}/datasets/{dataset.id}"))
    assert b"1,2" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert datasets.open_dataset(principal=admin, dataset_id=dataset.id).read() == b"a,b\n1,2\n"
    assert (dataset.size_bytes, dataset.asset.label, dataset.asset.digest) == (
        8,
        "confidential",
        dataset.digest,
    )


def test_a_dataset_that_an_earlier_release_sealed_is_read_and_moved(dataset, admin):
    path = datasets.earlier_folder(dataset.tenant_id) / f"{dataset.id}.sealed"
    path.parent.mkdir(parents=True, exist_ok=True)
    binding = {"tenant_id": dataset.tenant_id, "purpose": datasets.PURPOSE, "object_id": str(dataset.id)}
    with path.open("wb") as file:
        seal_stream(io.BytesIO(b"a,b\n1,2\n"), file, **binding)
    stored = datasets.dataset_file(dataset.tenant_id, dataset.id)
    stored.delete()
    assert datasets.open_dataset(principal=admin, dataset_id=dataset.id).read() == b"a,b\n1,2\n"
    job = keys.re_encrypt(principal=admin, tenant_id=dataset.tenant_id, purpose=datasets.PURPOSE)
    keys.step(job.id, dataset.tenant_id, limit_s=3600)
    assert not path.exists()
    assert stored.exists()
    assert datasets.open_dataset(principal=admin, dataset_id=dataset.id).read() == b"a,b\n1,2\n"


def test_bad_datasets_leave_nothing_behind(admin, dataset):
    with pytest.raises(InvalidInput):
        datasets.upload_dataset(principal=admin, name="empty", filename="e.csv", chunks=[])
    with pytest.raises(Conflict):
        datasets.upload_dataset(principal=admin, name="loans", filename="l.csv", chunks=[b"x"])
    with pytest.raises(InvalidInput):
        datasets.upload_dataset(principal=admin, name="odd", filename="l.csv", chunks=[b"x"], label="odd")
    for location in ("not an address", "https://user:word@host/x", ""):
        with pytest.raises(InvalidInput):
            datasets.reference_dataset(principal=admin, name="away", location=location)
    kept = storages["objects"].names(f"{dataset.tenant_id}/datasets", after="", limit=10)
    assert kept == [f"{dataset.tenant_id}/datasets/{dataset.id}"]


def test_an_erasure_reaches_everything_and_names_what_must_be_retrained(
    in_org, admin, dataset, django_capture_on_commit_callbacks
):
    copy_, model, other = (
        asset(in_org, "copy"),
        asset(in_org, "fraud 2", "tests.model"),
        asset(in_org, "other"),
    )
    unknown, judged = asset(in_org, "hologram", "tests.hologram"), asset(in_org, "judged", "tests.model")
    link(in_org, dataset.asset, copy_, "derived_from")
    link(in_org, copy_, model, "trained_on")
    link(in_org, dataset.asset, unknown, "derived_from")
    link(in_org, dataset.asset, judged, "evaluated_on")
    erasure = request_erasure(
        principal=admin, kind="asset", reference=str(dataset.asset_id), reason="the customer asked"
    )
    assert (
        request_erasure(principal=admin, kind="asset", reference=str(dataset.asset_id), reason="again")
        == erasure
    )
    with django_capture_on_commit_callbacks(execute=True):
        run_erasure(erasure.id)
    erasure.refresh_from_db()
    assert outcomes(erasure) == {
        "Audit log": Outcome.RETAINED,
        "loans": Outcome.ERASED,
        "copy": Outcome.ERASED,
        "fraud 2": Outcome.MUST_RETRAIN,
        "hologram": Outcome.BY_HAND,
    }
    assert erasure.state == Erasure.State.INCOMPLETE
    assert not datasets.dataset_file(in_org.id, dataset.id).exists()
    assert Asset.objects.get(pk=model.pk).must_retrain_at is not None
    assert Asset.objects.get(pk=judged.pk).must_retrain_at is None
    assert Asset.objects.get(pk=other.pk).erased_at is None
    erasers.register("tests.hologram", erase=lambda t, _tenant: Handled(Outcome.ERASED, "by hand"))
    retry_erasure(principal=admin, erasure_id=erasure.id)
    run_erasure(erasure.id)
    erasure.refresh_from_db()
    assert erasure.state == Erasure.State.DONE
    with pytest.raises(Conflict):
        retry_erasure(principal=admin, erasure_id=erasure.id)


def test_the_receipt_is_signed_and_a_change_of_it_is_noticed(admin):
    erasure = request_erasure(principal=admin, kind="subject", reference="customer-7", reason="asked to")
    run_erasure(erasure.id)
    erasure.refresh_from_db()
    assert erasure.state == Erasure.State.DONE
    assert "of customer-7" in ERASED
    assert is_genuine(erasure.receipt, erasure.signature)
    forged = copy.deepcopy(erasure.receipt)
    forged["places"][0]["outcome"] = "erased"
    assert not is_genuine(forged, erasure.signature)


def test_a_lost_worker_loses_nothing_and_a_stop_is_obeyed(in_org, admin):
    first, second = asset(in_org, "first"), asset(in_org, "second")
    link(in_org, first, second, "derived_from")
    erasure = request_erasure(principal=admin, kind="asset", reference=str(first.id), reason="asked")

    def dies(target, tenant_id):
        raise KeyboardInterrupt

    erasers.register("tests.row", erase=dies)
    with pytest.raises(KeyboardInterrupt):
        run_erasure(erasure.id)
    assert resume_stalled() == 0
    Erasure.objects.filter(pk=erasure.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert resume_stalled() == 1

    def stops(target, tenant_id):
        cancel_erasure(principal=admin, erasure_id=erasure.id, reason="wrong asset")
        return Handled(Outcome.ERASED, "gone")

    erasers.register("tests.row", erase=stops)
    run_erasure(erasure.id)
    erasure.refresh_from_db()
    assert erasure.state == Erasure.State.CANCELLED
    assert outcomes(erasure)["second"] == Outcome.FOUND
    run_erasure(erasure.id)
    assert outcomes(erasure)["second"] == Outcome.FOUND
    with pytest.raises(IllegalTransition):
        cancel_erasure(principal=admin, erasure_id=erasure.id, reason="again")


def test_what_a_person_erased_by_hand_completes_the_erasure_and_stands_on_the_receipt(
    in_org, admin, principal_for
):
    places = [asset(in_org, name, "tests.hologram") for name in ("first", "second")]
    link(in_org, places[0], places[1], "derived_from")
    erasure = request_erasure(principal=admin, kind="asset", reference=str(places[0].id), reason="asked")
    run_erasure(erasure.id)
    first, second = (erasure.places.get(object_id=place.object_id) for place in places)

    def confirm(place, principal=admin, note="wiped the tape"):
        return confirm_place(principal=principal, erasure_id=erasure.id, place_id=place.id, note=note)

    for refused, values in (
        (InvalidInput, {"note": " "}),
        (InvalidInput, {"principal": SYSTEM}),
        (AccessDenied, {"principal": principal_for(in_org, Role.DEVELOPER)}),
    ):
        with pytest.raises(refused):
            confirm(first, **values)
    assert confirm(first).state == Erasure.State.INCOMPLETE
    with pytest.raises(Conflict):
        confirm(first)
    done = confirm(second, note="burnt it")
    assert done.state == Erasure.State.DONE
    assert is_genuine(done.receipt, done.signature)
    told = {row["name"]: (row["outcome"], row["reason"], row["done_by"]) for row in done.receipt["places"]}
    assert told["second"] == (Outcome.DONE_BY_HAND, "burnt it", admin.label)
    assert not Asset.objects.filter(pk__in=[p.pk for p in places], erased_at=None).exists()


def test_a_second_message_leaves_a_living_worker_alone_and_a_displaced_one_stops(in_org, admin):
    first, second = asset(in_org, "first"), asset(in_org, "second")
    link(in_org, first, second, "derived_from")
    erasure = request_erasure(principal=admin, kind="asset", reference=str(first.id), reason="asked")
    seen: list[str] = []

    def meanwhile(target, tenant_id):
        seen.append(target.label)
        if seen == ["first"]:
            run_erasure(erasure.id)  # the same message again
            assert seen == ["first"]
            Erasure.objects.filter(pk=erasure.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
            assert resume_stalled() == 1  # this worker was thought dead, and another takes over
            run_erasure(erasure.id)
        return Handled(Outcome.ERASED, "gone")

    erasers.register("tests.row", erase=meanwhile)
    run_erasure(erasure.id)
    erasure.refresh_from_db()
    assert erasure.state == Erasure.State.DONE
    assert seen == ["first", "first", "second"]


def test_an_eraser_that_fails_in_an_unexpected_way_keeps_no_other_place_waiting(in_org, admin):
    first, second = asset(in_org, "first", "tests.broken"), asset(in_org, "second")
    link(in_org, first, second, "derived_from")
    erasers.register("tests.broken", erase=lambda target, tenant_id: {}["secret"])
    erasure = request_erasure(principal=admin, kind="asset", reference=str(first.id), reason="asked")
    run_erasure(erasure.id)
    assert outcomes(erasure) == {
        "Audit log": Outcome.RETAINED,
        "first": Outcome.BY_HAND,
        "second": Outcome.ERASED,
    }
    assert "secret" not in erasure.places.get(name="first").reason


def test_files_go_with_the_commit_and_orphans_are_swept(
    in_org, admin, dataset, django_capture_on_commit_callbacks
):
    file = datasets.dataset_file(in_org.id, dataset.id)
    with django_capture_on_commit_callbacks() as callbacks:
        assert datasets.erase_file(dataset.asset)
    assert file.exists()
    for callback in callbacks:
        callback()
    assert not file.exists()
    killed, running = uuid7(), uuid7()
    for name in (killed, running, "notes"):
        datasets.STORAGE.file(in_org.id, str(name)).write([b"half"])
    written_days_ago(datasets.dataset_file(in_org.id, killed), datasets.STORAGE.file(in_org.id, "notes"))
    assert sweep_orphans() == 1
    assert not datasets.dataset_file(in_org.id, killed).exists()
    assert datasets.dataset_file(in_org.id, running).exists()
    assert datasets.STORAGE.file(in_org.id, "notes").exists()


def test_a_file_that_must_lie_elsewhere_is_refused_before_a_byte_of_it_is_kept(in_org, admin):
    with platform_scope():
        pools.set_pool(principal=SYSTEM, name="ward-3", kind="edge", region="ward-3", certified_for=["hipaa"])

    def never():
        raise AssertionError("a byte was read")
        yield b""

    scan = {"label": "restricted", "subjects": ["health"], "region": "ward-3"}
    for described, rule in (
        (scan, "openclaw.restricted-health-stays-at-its-edge"),
        ({"region": "mars"}, "openclaw.data-stays-in-its-region"),
        ({"held_at": "ward-3"}, "openclaw.held-elsewhere"),
    ):
        with pytest.raises(StaysElsewhere) as refused:
            datasets.upload_dataset(
                principal=admin, name="scan", filename="s.csv", chunks=never(), **described
            )
        assert (refused.value.rule, refused.value.status) == (rule, 409)
        assert ("ward-3" in str(refused.value.hint)) is (described.get("region") != "mars")
    assert not datasets.STORAGE.place.names(datasets.STORAGE.root(in_org.id), after="", limit=1)
    made = datasets.reference_dataset(
        principal=admin, name="scan", location="s3://ward/scan", held_at="ward-3", **scan
    )
    assert made.held_at.address == "ward-3"


def test_who_may_not_and_what_is_not_there_is_refused(in_org, other_org, admin, principal_for):
    with pytest.raises(AccessDenied):
        request_erasure(
            principal=principal_for(in_org, Role.DEVELOPER), kind="subject", reference="x", reason="y"
        )
    with tenant_context(other_org.id):
        theirs = asset(other_org, "theirs")
    for reference in (str(theirs.id), str(uuid7()), "no id"):
        with pytest.raises(NotFound):
            request_erasure(principal=admin, kind="asset", reference=reference, reason="curious")
    with pytest.raises(InvalidInput):
        request_erasure(principal=admin, kind="subject", reference="x", reason=" ")
    assert not Erasure.objects.exists()


def test_retention_erases_what_is_past_its_time_and_nothing_else(in_org):
    old, young = asset(in_org, "old", retention_days=30), asset(in_org, "young", retention_days=30)
    kept = asset(in_org, "kept")
    Asset.objects.filter(pk__in=[old.pk, kept.pk]).update(created_at=timezone.now() - timedelta(days=31))
    assert keep_retention() == 1
    assert ERASED == ["old"]
    assert keep_retention() == 0
    assert Asset.objects.get(pk=old.pk).erased_at is not None
    assert Asset.objects.get(pk=young.pk).erased_at is None


def test_what_needs_a_person_or_fails_keeps_nothing_else_from_its_end(in_org, monkeypatch):
    monkeypatch.setattr(retention, "MAX_ERASED", 2)
    erasers.register("tests.broken", erase=lambda target, tenant_id: {}["secret"])
    stuck = [asset(in_org, f"stuck {kind}", kind, retention_days=1) for kind in ("tests.broken", "tests.odd")]
    old = asset(in_org, "old", retention_days=1)
    model = asset(in_org, "model", "tests.model", retention_days=1)
    Asset.objects.filter(tenant=in_org).update(created_at=timezone.now() - timedelta(days=9))
    assert keep_retention() == 0
    assert keep_retention() == 1
    old.refresh_from_db()
    model.refresh_from_db()
    assert old.erased_at is not None
    assert model.must_retrain_at is not None
    assert not Asset.objects.filter(pk__in=[row.pk for row in stuck], erased_at__isnull=False).exists()


def test_an_object_that_is_itself_erased_may_need_more_than_what_came_of_one(in_org, admin):
    erasers.register(
        "tests.model",
        erase=lambda target, tenant_id: Handled(Outcome.MUST_RETRAIN, "trained on it"),
        erase_root=lambda target, tenant_id: Handled(Outcome.ERASED, "retired"),
    )
    model, below = asset(in_org, "model", "tests.model"), asset(in_org, "below", "tests.model")
    link(in_org, model, below, "derived_from")
    erasure = request_erasure(principal=admin, kind="asset", reference=str(model.id), reason="asked")
    run_erasure(erasure.id)
    assert outcomes(erasure) == {
        "Audit log": Outcome.RETAINED,
        "model": Outcome.ERASED,
        "below": Outcome.MUST_RETRAIN,
    }
