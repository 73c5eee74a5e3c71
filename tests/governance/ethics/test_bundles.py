"""Evidence bundles: what stands in them, that they are the same twice, and that nobody can change one unnoticed."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile

import pytest
from click.testing import CliRunner
from django.core.management import CommandError, call_command
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, NotFound
from governance.ethics import incidents
from governance.ethics.bundles.services import export_bundle
from governance.ethics.bundles.signing import (
    NotGenuine,
    archive,
    key_document,
    read_key,
    sign,
    verify_archive,
    verify_file,
)
from governance.principals import Role
from governance.refs import ObjectRef
from governance.tenants.context import platform_scope
from tests.factories.inference import make_version
from tests.governance.ethics.steps import acting, ask, bind, decide

database = pytest.mark.django_db(transaction=True)
SIGNER = CryptoSigner.generate_ed25519()
FILES = {"bundle.json": b'{"a": 1}\n', "bundle.pdf": b"%PDF-1.4 nothing"}


@pytest.fixture
def keys(settings, tmp_path):
    settings.OPENCLAW_VAR = tmp_path


@pytest.fixture
def bound(admin, partner, officer, keys):
    """A model version of the organisation, approved with conditions, with an incident."""
    version = make_version(admin, model="triage")
    target = ObjectRef("registry.modelversion", str(version.id), version.sha256, str(version.model.name))
    decide(
        officer,
        ask(partner),
        reason="只用于分诊。",
        conditions=[{"kind": "purposes_only", "value": ["triage"]}],
    )
    bind(admin.tenant_id, target)
    with acting(admin):
        incidents.open_incident(
            principal=admin, subject=target, title="Wrong order", description="样本等待了一天。", severity="low",
            tenant_id=admin.tenant_id,
        )  # fmt: skip
    return target


def export(principal, target, form="json"):
    with acting(principal):
        return export_bundle(principal=principal, target=target, form=form)


@database
def test_it_tells_purpose_data_tests_approvals_incidents_and_changes(admin, bound):
    told = json.loads(export(admin, bound).data)
    assert told["object"]["digest"] == bound.digest
    assert told["purpose"] == {
        "declared": ["justice"], "catalogue": "", "approval_needed": True, "approval_in_force": True,
    }  # fmt: skip
    (approval,) = told["approvals"]
    assert (approval["risk_class"], approval["reason"]) == ("high", "只用于分诊。")
    assert approval["conditions_in_words"] == ["Only for these purposes: triage."]
    assert {item["kind"] for item in approval["evidence"]} == {"model_card", "evaluation", "oversight_plan"}
    answer = approval["questionnaire"]["answers"][0]
    assert answer["frameworks"]["eu_ai_act"] == ["Art. 13(3)(b)"]
    assert told["tests"]["evaluations"][0]["summary"]["group"] == "laboratory"
    assert [incident["title"] for incident in told["incidents"]] == ["Wrong order"]
    actions = [change["action"] for change in told["changes"]]
    assert {"registry.version.register", "ethics.approval.request", "ethics.approval.approved"} <= set(
        actions
    )
    assert all(len(change["entry_hash"]) == 64 for change in told["changes"])
    publishers = [c["actor"] for c in told["changes"] if c["action"] == "ethics.approval.request"]
    assert publishers == [""], "names of the publisher's people stay with the publisher"


@database
def test_the_same_state_gives_the_same_bytes_and_a_change_gives_others(admin, bound):
    first, again = export(admin, bound, "zip"), export(admin, bound, "zip")
    assert first.data == again.data
    with platform_scope(), transaction.atomic():
        exported = AuditEntry.objects.filter(action="ethics.bundle.export")
        assert {entry.details["bundle_sha256"] for entry in exported} == {first.sha256}
    with acting(admin):
        incidents.open_incident(
            principal=admin, subject=bound, title="Another", description="Something.", severity="low",
            tenant_id=admin.tenant_id,
        )  # fmt: skip
    assert export(admin, bound).sha256 != first.sha256


@database
def test_the_paper_is_a_pdf_that_names_the_digest(admin, bound):
    made = export(admin, bound, "pdf")
    assert made.data.startswith(b"%PDF-")
    assert made.data.rstrip().endswith(b"%%EOF")
    assert b"STSong-Light" in made.data
    assert made.data == export(admin, bound, "pdf").data


@database
def test_another_tenant_finds_nothing_and_a_developer_may_not(bound, org, other_org, principal_for):
    with pytest.raises(NotFound):
        export(principal_for(other_org, Role.TENANT_ADMIN), bound)
    with pytest.raises(AccessDenied):
        export(principal_for(org, Role.DEVELOPER), bound)


@database
@pytest.mark.parametrize("object_id", ["7", "", "00000000-0000-7000-8000-000000000000", "x" * 300])
def test_what_is_not_there_is_not_found(admin, keys, object_id):
    with pytest.raises(NotFound):
        export(admin, ObjectRef("registry.modelversion", object_id))
    with pytest.raises(NotFound):
        export(admin, ObjectRef("no.such", object_id))


@database
def test_the_commands_write_it_and_tell_a_changed_one(admin, bound, tmp_path):
    out, changed, key = tmp_path / "b.zip", tmp_path / "changed.zip", tmp_path / "key.json"
    call_command("ethics_bundle", bound.type, bound.id, str(out), stdout=io.StringIO())
    call_command("ethics_verify_bundle", str(out), stdout=io.StringIO())
    told = io.StringIO()
    call_command("ethics_key", stdout=told)
    key.write_text(told.getvalue())
    from openclaw_site.cli import main

    good = CliRunner().invoke(main, ["ethics", "verify-bundle", str(out), "--key", str(key)])
    assert (good.exit_code, "is genuine" in good.output) == (0, True), good.output
    with zipfile.ZipFile(out) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, data.replace(b"justice", b"weather") if name == "bundle.json" else data)
    with pytest.raises(CommandError, match=r"bundle\.json is not the file that was signed"):
        call_command("ethics_verify_bundle", str(changed))
    bad = CliRunner().invoke(main, ["ethics", "verify-bundle", str(changed), "--key", str(key)])
    assert (bad.exit_code, "not genuine" in bad.output) == (1, True)
    with pytest.raises(CommandError, match="must end in"):
        call_command("ethics_bundle", bound.type, bound.id, str(tmp_path / "b.txt"))


def test_a_key_travels_as_json():
    document = json.loads(json.dumps(key_document(SIGNER.public_key)))
    assert verify_archive(archive(FILES, SIGNER), [read_key(document)]) == FILES
    for broken in ({}, [], {"keyid": "x"}, "text", None):
        with pytest.raises(ValueError, match="no public key"):
            read_key(broken)


def rebuilt(change):
    made, out = zipfile.ZipFile(io.BytesIO(archive(FILES, SIGNER))), io.BytesIO()
    contents = {name: made.read(name) for name in made.namelist()}
    change(contents)
    with zipfile.ZipFile(out, "w") as target:
        for name, data in contents.items():
            target.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update({"bundle.json": b"{}"}), "is not the file that was signed"),
        (lambda c: c.pop("bundle.pdf.sig"), "without a signature"),
        (lambda c: c.pop("bundle.pdf"), "without a signature"),
        (lambda c: c.update({"more.txt": b"x"}), "without a signature"),
        (lambda c: c.update({"bundle.pdf.sig": c["bundle.json.sig"]}), "is not the file that was signed"),
        (lambda c: c.update({"bundle.pdf.sig": b"{}"}), "is no signature"),
        (lambda c: c.update({"bundle.pdf.sig": b"\xff"}), "is no signature"),
        (
            lambda c: c.update(
                {"bundle.pdf.sig": sign("bundle.pdf", FILES["bundle.pdf"], CryptoSigner.generate_ed25519())}
            ),
            "not trusted",
        ),
        (lambda c: c.clear(), "without a signature"),
    ],
)
def test_a_changed_archive_is_refused_with_the_reason(change, message):
    with pytest.raises(NotGenuine, match=message):
        verify_archive(rebuilt(change), [SIGNER.public_key])


def test_a_signature_with_another_statement_is_refused():
    signature = json.loads(sign("a", b"data", SIGNER))
    assert verify_file("a", b"data", json.dumps(signature).encode(), [SIGNER.public_key])
    forged = signature | {"signature": "0" * len(signature["signature"])}
    with pytest.raises(NotGenuine, match="does not hold"):
        verify_file("a", b"data", json.dumps(forged).encode(), [SIGNER.public_key])
    for wrong in (None, 5, "zz", ["a"]):
        with pytest.raises(NotGenuine):
            verify_file(
                "a", b"data", json.dumps(signature | {"signature": wrong}).encode(), [SIGNER.public_key]
            )


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_no_flipped_bit_gives_other_content(data):
    good = bytearray(archive(FILES, SIGNER))
    place = data.draw(st.integers(0, len(good) - 1))
    good[place] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(NotGenuine):
        assert verify_archive(bytes(good), [SIGNER.public_key]) == FILES


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_politely(data):
    with pytest.raises(NotGenuine):
        verify_archive(data, [SIGNER.public_key])
