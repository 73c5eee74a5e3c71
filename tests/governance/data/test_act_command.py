"""The command line of what only people do: two of them loosen, one confirms by hand, one brings a file."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from governance.data import erasing, services
from governance.data.models import Asset, Dataset, Declassification, Erasure
from governance.ids import uuid7
from governance.principals import SYSTEM, Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from tests.factories.governance import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(monkeypatch, org):
    def call(who, *arguments, password=PASSWORD):
        out = StringIO()
        monkeypatch.setattr("sys.stdin", StringIO(f"{password}\n"))
        options = [f"--as={who}", f"--tenant={org.slug}"]
        call_command("data_act", *map(str, arguments), *options, stdout=out)
        return out.getvalue()

    return call


@pytest.fixture
def asset(org):
    with platform_scope(), transaction.atomic():
        return services.register_asset(
            principal=SYSTEM,
            target=ObjectRef("tests.tape", str(uuid7()), label="tape"),
            tenant_id=org.id,
            label="restricted",
            subjects=["health"],
            region="eu",
        )


def test_two_people_loosen_a_label(run, org, member, asset):
    member(org, Role.DATA_SCIENTIST, username="dana")
    member(org, Role.TENANT_ADMIN, username="boss")
    wanted = ("loosen", asset.id, "--label=internal", "--no-subject", "--reason=it is made up")
    with pytest.raises(CommandError, match="not right"):
        run("dana", *wanted, password="a guess")
    asked = run("dana", *wanted)
    with platform_scope(), transaction.atomic():
        wish = Declassification.objects.get()
        asset.refresh_from_db()
    assert f"decide {wish.id} approve" in asked
    assert asset.label == "restricted"
    with pytest.raises(CommandError):
        run("dana", "decide", wish.id, "approve", "--reason=mine")
    assert "approved" in run("boss", "decide", wish.id, "approve", "--reason=checked")
    with platform_scope(), transaction.atomic():
        asset.refresh_from_db()
    assert (asset.label, asset.subjects, asset.region) == ("internal", [], "eu")


def test_a_request_is_refused_and_nothing_changes(run, org, member, asset):
    member(org, Role.TENANT_ADMIN, username="anna")
    member(org, Role.TENANT_ADMIN, username="boss")
    run("anna", "loosen", asset.id, "--region=", "--retention-days=0", "--reason=it may go anywhere")
    with platform_scope(), transaction.atomic():
        wish = Declassification.objects.get()
    with pytest.raises(CommandError):
        run("anna", "decide", wish.id, "approve", "--reason=my own")
    assert "refused" in run("boss", "decide", wish.id, "refuse", "--reason=it may not")
    with pytest.raises(CommandError, match="no such request"):
        run("boss", "decide", uuid7(), "refuse", "--reason=it may not")
    with platform_scope(), transaction.atomic():
        asset.refresh_from_db()
    assert (asset.label, asset.region) == ("restricted", "eu")


def test_a_place_erased_by_hand_completes_the_erasure(run, org, member, asset):
    member(org, Role.TENANT_ADMIN, username="boss")
    with platform_scope(), transaction.atomic():
        erasure = erasing.request_erasure(
            principal=SYSTEM, kind="asset", reference=str(asset.id), reason="asked", tenant_id=org.id
        )
    erasing.run_erasure(erasure.id)
    out = StringIO()
    call_command("data", "erasures", str(erasure.id), stdout=out)
    with platform_scope(), transaction.atomic():
        place = erasure.places.get(outcome="by_hand")
    assert str(place.id) in out.getvalue()
    said = run("boss", "confirm-place", erasure.id, place.id, "--note=burnt the tape")
    assert said.startswith(str(erasure.id))
    with platform_scope(), transaction.atomic():
        erasure.refresh_from_db()
        assert erasure.state == Erasure.State.DONE
        assert Asset.objects.get(pk=asset.pk).erased_at is not None
    with pytest.raises(CommandError, match="does not wait"):
        run("boss", "confirm-place", erasure.id, place.id, "--note=again")


def test_a_file_becomes_a_dataset(run, org, member, tmp_path):
    member(org, Role.DATA_SCIENTIST, username="dana")
    file = tmp_path / "loans.csv"
    file.write_bytes(b"a,b\n1,2\n")
    said = run("dana", "upload", "loans", file, "--label=confidential", "--subject=personal")
    with platform_scope(), transaction.atomic():
        made = Dataset.objects.select_related("asset").get(name="loans")
    assert str(made.asset_id) in said
    assert (made.filename, made.asset.label, made.asset.subjects) == (
        "loans.csv",
        "confidential",
        ["personal"],
    )
    with pytest.raises(CommandError, match="cannot be read"):
        run("dana", "upload", "more", tmp_path / "nothing.csv")
