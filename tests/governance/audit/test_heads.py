"""Signed heads: written where a chain moved, given away, and compared with what is there later."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction

from governance.audit import signing
from governance.audit.heads import export_heads, read_heads
from governance.audit.models import SignedHead
from governance.audit.verification import verify
from governance.errors import InvalidInput, Unavailable
from governance.tenants.context import platform_scope

pytestmark = pytest.mark.django_db(transaction=True)


def heads_of(tenant):
    with platform_scope(), transaction.atomic():
        return list(SignedHead.objects.filter(tenant=tenant).order_by("sequence"))


def test_only_a_chain_that_moved_is_signed(org, other_org, write, sign):
    write(org, 2)
    write(other_org, 1)
    assert sign() == 2
    assert sign() == 0
    write(org, 1)
    assert sign() == 1
    assert [head.sequence for head in heads_of(org)] == [2, 3]
    assert heads_of(org)[0].key_name == f"audit-{org.id}"


def test_each_chain_has_a_key_of_its_own(org, other_org, write, sign):
    write(org, 1)
    write(other_org, 1)
    sign()
    assert heads_of(org)[0].key_id != heads_of(other_org)[0].key_id


def test_the_application_cannot_change_a_signed_head(org, entries, sign):
    sign()
    with platform_scope(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        SignedHead.objects.update(entry_hash="0" * 64)


@pytest.mark.parametrize(
    "change",
    [
        "entry_hash = repeat('a', 64)",
        "at = at + interval '1 second'",
        "signature = repeat('a', length(signature))",
        "signature = 'no hex at all'",
        "key_id = repeat('a', 64)",
        "key_name = 'audit-of-somebody-else'",
    ],
)
def test_a_forged_head_is_found(org, entries, sign, superuser, found, change):
    sign()
    superuser(f"UPDATE audit_signedhead SET {change}")
    assert [(kind, entry) for kind, entry, _text in found(org)] == [("signature", 3)]


def test_a_head_of_another_chain_does_not_fit(org, other_org, write, sign, superuser, found):
    write(org, 2)
    write(other_org, 2)
    sign()
    superuser(
        f"DELETE FROM audit_signedhead WHERE tenant_id = '{org.id}'",
        f"UPDATE audit_signedhead SET tenant_id = '{org.id}'",
    )
    assert [kind for kind, _entry, _text in found(org)] == ["signature"]


def test_kept_heads_find_what_the_database_no_longer_shows(
    org, write, sign, superuser, forged_chain, found, tmp_path, capsys
):
    write(org, 3)
    call_command("audit_heads", json=True)
    file = tmp_path / "heads.json"
    file.write_text(capsys.readouterr().out)
    write(org, 1)
    call_command("audit_verify", against=str(file))
    # Whoever owns the database rewrites the chain and signs nothing: the signed heads go as well.
    superuser("DELETE FROM audit_signedhead")
    forged_chain(org, 2, "nothing happened")
    assert found(org) == []
    with pytest.raises(CommandError):
        call_command("audit_verify", against=str(file))
    assert "signature, entry 1: entries 1 to 3 were rewritten" in capsys.readouterr().out
    superuser(
        "DELETE FROM audit_auditentry WHERE sequence > 1",
        "UPDATE audit_audithead SET sequence = 1, entry_hash = "
        "(SELECT entry_hash FROM audit_auditentry WHERE sequence = 1)",
    )
    assert found(org) == []
    with pytest.raises(CommandError):
        call_command("audit_verify", against=str(file))
    assert "removed, entry 2: entries 2 to 3 were removed from the end" in capsys.readouterr().out


def test_a_kept_head_that_nobody_signed_is_told(org, entries, sign):
    sign()
    body = export_heads()
    body["heads"][0]["signature"] = "00" * 64
    (report,) = verify(tenant=org.slug, kept=read_heads(json.dumps(body)))
    assert [problem.code for problem in report.problems] == ["kept-head-forged"]


def test_every_head_or_the_newest(org, write, sign):
    for _ in range(3):
        write(org, 1)
        sign()
    assert [head["sequence"] for head in export_heads()["heads"]] == [3]
    assert [head["sequence"] for head in export_heads(every=True)["heads"]] == [3, 2, 1]
    assert export_heads(tenant="nobody")["heads"] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"format": "something else", "heads": []}',
        '{"format": "openclaw-audit-heads/1"}',
        '{"format": "openclaw-audit-heads/1", "heads": [1]}',
        '{"format": "openclaw-audit-heads/1", "heads": [{"tenant": "x"}]}',
    ],
)
def test_any_other_file_is_refused_with_a_sentence(text, tmp_path):
    with pytest.raises(InvalidInput, match="no file of signed heads"):
        read_heads(text)
    file = tmp_path / "heads.json"
    file.write_text(text)
    with pytest.raises(CommandError, match="no file of signed heads"):
        call_command("audit_verify", against=str(file))


def test_without_keys_nothing_is_signed_and_signatures_do_not_hold(org, entries, sign, found, monkeypatch):
    sign()
    monkeypatch.setattr(signing, "_signer", None)
    with pytest.raises(Unavailable):
        signing.seal(org.id, b"")
    assert [kind for kind, _entry, _text in found(org)] == ["signature"]
