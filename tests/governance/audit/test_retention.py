"""Retention removes the beginning of a chain, never past a hold, and verification goes on from the signed cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from governance.audit import retention
from governance.audit.models import AuditEntry, ChainCut, LegalHold, RetentionPolicy, SignedHead
from governance.audit.partitions import drop_empty_partitions
from governance.audit.retention import release_hold, retain, set_hold, set_retention
from governance.audit.verification import verify
from governance.errors import AccessDenied, Conflict, InvalidInput, Unavailable
from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def keep(admin, org):
    def days(number):
        with tenant_context(org.id):
            set_retention(principal=admin, tenant_id=org.id, days=number, reason="our rules")

    return days


@pytest.fixture
def old(org, write, clock, sign):
    """Five entries of 400 days ago, signed, three of 250 days ago, and one of now."""
    clock(timedelta(days=-400))
    write(org, 5)
    sign()
    clock(timedelta(days=-250))
    write(org, 3)
    clock(timedelta(0))
    write(org, 1)


def numbers(tenant):
    with platform_scope(), transaction.atomic():
        return list(
            AuditEntry.objects.filter(tenant=tenant).order_by("sequence").values_list("sequence", flat=True)
        )


def report(tenant):
    (found,) = verify(tenant=tenant.slug)
    return found


def test_without_a_retention_nothing_is_removed(org, old):
    assert retain() == 0
    assert numbers(org) == list(range(1, 10))


def test_what_is_old_is_removed_and_the_chain_goes_on_from_the_cut(org, old, keep, sign):
    keep(300)
    assert retain() == 5
    assert numbers(org) == [6, 7, 8, 9, 10, 11]  # 10: the retention; 11: the cut
    found = report(org)
    assert (found.problems, found.cut_through, found.entries) == ([], 5, 6)
    with platform_scope(), transaction.atomic():
        cut = ChainCut.objects.get()
        assert (cut.through, cut.removed, cut.actor_label) == (5, 5, "OpenClaw")
        entry = AuditEntry.objects.get(tenant=org, action="audit.chain.cut")
        assert entry.details["last_hash"] == cut.last_hash
        assert not SignedHead.objects.filter(tenant=org, sequence__lt=5).exists()
    assert retain() == 0
    keep(200)
    assert retain() == 3
    sign()
    found = report(org)
    assert (found.problems, found.cut_through, found.signed_through) == ([], 8, 13)


def test_a_long_beginning_is_removed_in_several_cuts(org, old, keep, monkeypatch):
    monkeypatch.setattr(retention, "CUT_AT_ONCE", 2)
    keep(200)
    assert retain() == 8
    assert report(org).problems == []
    with platform_scope(), transaction.atomic():
        assert list(ChainCut.objects.order_by("through").values_list("through", flat=True)) == [2, 4, 6, 8]


def test_a_chain_with_old_entries_only_keeps_its_numbers(org, write, clock, keep):
    clock(timedelta(days=-400))
    keep(200)
    write(org, 2)
    clock(timedelta(0))
    retain()
    assert numbers(org)[0] == 4
    assert report(org).problems == []


@pytest.mark.parametrize("days", [179, 0, -1, 36_501])
def test_less_than_six_months_is_refused(org, admin, days):
    with tenant_context(org.id), pytest.raises(InvalidInput, match="at least 180 days"):
        set_retention(principal=admin, tenant_id=org.id, days=days, reason="to forget")
    with platform_scope(), transaction.atomic():
        assert not RetentionPolicy.objects.exists()


def test_a_retention_needs_a_reason_and_the_right(org, admin, principal_for):
    with tenant_context(org.id):
        with pytest.raises(InvalidInput, match="reason"):
            set_retention(principal=admin, tenant_id=org.id, days=200, reason=" ")
        with pytest.raises(AccessDenied):
            set_retention(
                principal=principal_for(org, Role.DEVELOPER), tenant_id=org.id, days=200, reason="to forget"
            )


def test_no_tenants_administrator_changes_another_tenants_log(org, other_org, admin):
    with tenant_context(org.id):
        with pytest.raises(AccessDenied):
            set_retention(principal=admin, tenant_id=other_org.id, days=200, reason="to forget")
        with pytest.raises(AccessDenied):
            set_hold(principal=admin, tenant_id=other_org.id, reason="to annoy")


def test_a_hold_keeps_everything_from_its_beginning_on(org, old, keep, admin, principal_for):
    keep(200)
    with tenant_context(org.id):
        hold = set_hold(
            principal=admin,
            tenant_id=org.id,
            reason="case 7",
            from_at=timezone.now() - timedelta(days=300),
            to_at=timezone.now() - timedelta(days=200),
        )
    assert retain() == 5
    assert numbers(org)[0] == 6
    with tenant_context(org.id):
        with pytest.raises((Conflict, AccessDenied), match="yourself"):
            release_hold(principal=admin, hold_id=hold.id, reason="over")
        release_hold(principal=principal_for(org, Role.TENANT_ADMIN), hold_id=hold.id, reason="over")
        with pytest.raises(Conflict, match="already"):
            release_hold(principal=principal_for(org, Role.TENANT_ADMIN), hold_id=hold.id, reason="again")
    assert retain() == 3
    assert report(org).problems == []
    with platform_scope(), transaction.atomic():
        actions = set(AuditEntry.objects.filter(tenant=org).values_list("action", flat=True))
    assert actions >= {"audit.retention.manage", "audit.hold.set", "audit.hold.release", "audit.chain.cut"}


def test_a_hold_without_a_beginning_keeps_everything(org, old, keep, admin):
    keep(200)
    with tenant_context(org.id):
        set_hold(principal=admin, tenant_id=org.id, reason="case 8")
    assert retain() == 0


def test_a_hold_ends_after_it_begins(org, admin):
    day = datetime(2026, 1, 1, tzinfo=UTC)
    with tenant_context(org.id), pytest.raises(InvalidInput, match="before its beginning"):
        set_hold(principal=admin, tenant_id=org.id, reason="x", from_at=day, to_at=day)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_legalhold",
        "UPDATE audit_legalhold SET reason = 'x'",
        "UPDATE audit_legalhold SET from_at = now()",
        "UPDATE audit_legalhold SET released_at = now(), released_by_id = set_by_id",
        "UPDATE audit_legalhold SET released_at = now()",
        "TRUNCATE audit_legalhold",
    ],
)
def test_the_application_can_only_release_a_hold(org, admin, statement):
    with tenant_context(org.id):
        set_hold(principal=admin, tenant_id=org.id, reason="case 9")
    with platform_scope(), pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    with platform_scope(), transaction.atomic():
        assert LegalHold.objects.get().released_at is None


def forged_cut(org, **changes):
    """A cut that the app role writes itself, without asking `retain`."""
    with platform_scope(), transaction.atomic():
        first, last = (
            AuditEntry.objects.get(tenant=org, sequence=1),
            AuditEntry.objects.get(tenant=org, sequence=changes.get("through", 5)),
        )
        values = {
            "tenant": org,
            "through": last.sequence,
            "last_hash": last.entry_hash,
            "removed": last.sequence,
            "first_at": first.at,
            "last_at": last.at,
            "at": timezone.now(),
            "actor_label": "nobody",
            "key_name": f"audit-{org.id}",
            "key_id": "0" * 64,
            "algorithm": "ed25519",
            "signature": "00",
        } | changes
        return ChainCut.objects.create(**values)


def apply(cut):
    with platform_scope(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT audit_apply_cut(%s)", [cut.id])


def test_the_database_itself_refuses_a_cut_without_a_retention_or_of_recent_entries(org, old, keep):
    cut = forged_cut(org)
    with pytest.raises(DatabaseError, match="keeps these entries"):
        apply(cut)
    keep(300)
    with pytest.raises(DatabaseError, match="keeps these entries"):
        apply(forged_cut(org, through=8))
    assert numbers(org) == list(range(1, 11))


def test_the_database_itself_refuses_a_cut_past_a_hold(org, old, keep, admin):
    keep(200)
    with tenant_context(org.id):
        set_hold(
            principal=admin, tenant_id=org.id, reason="case 10", from_at=timezone.now() - timedelta(days=900)
        )
    with pytest.raises(DatabaseError, match="legal hold"):
        apply(forged_cut(org))


@pytest.mark.parametrize("change", [{"removed": 4}, {"last_hash": "f" * 64}, {"signature": ""}])
def test_the_database_itself_refuses_a_cut_that_describes_something_else(org, old, keep, change):
    keep(200)
    with pytest.raises(DatabaseError, match=r"does not describe|no such signed cut"):
        apply(forged_cut(org, **change))
    assert numbers(org)[:5] == [1, 2, 3, 4, 5]


def test_a_cut_that_nobody_signed_is_found(org, old, keep):
    keep(200)
    apply(forged_cut(org))
    assert [(p.kind.value, p.entry, p.code) for p in report(org).problems] == [("signature", 5, "forged-cut")]


def test_a_cut_cannot_be_changed_or_taken_back(org, old, keep):
    keep(200)
    retain()
    for statement in ("UPDATE audit_chaincut SET removed = 1", "DELETE FROM audit_chaincut"):
        with (
            platform_scope(),
            pytest.raises(DatabaseError, match="append-only"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)


def test_a_removed_entry_that_is_put_back_is_found(org, old, keep, superuser):
    keep(300)
    retain()
    superuser(
        "INSERT INTO audit_auditentry SELECT (jsonb_populate_record(e, jsonb_build_object("
        "'id', gen_random_uuid(), 'sequence', 3))).* FROM audit_auditentry e WHERE sequence = 6"
    )
    assert [(p.kind.value, p.entry) for p in report(org).problems] == [("inserted", 3)]


def test_a_damaged_chain_is_left_as_it_is(org, old, keep, superuser, caplog):
    keep(200)
    superuser("UPDATE audit_auditentry SET reason = 'x' WHERE sequence = 2")
    assert retain() == 0
    assert "does not hold" in caplog.text
    assert numbers(org)[0] == 1


def test_without_signing_keys_nothing_is_removed(org, old, keep, monkeypatch):
    from governance.audit import signing

    keep(300)
    monkeypatch.setattr(signing, "_signer", None)
    monkeypatch.setattr(retention, "verify_chain", lambda *a, **k: type("R", (), {"ok": True}))
    with pytest.raises(Unavailable):
        retain()
    assert numbers(org)[0] == 1


def test_an_old_month_is_dropped_when_every_tenants_entries_are_cut(
    org, other_org, write, clock, keep, services, admin, principal_for
):
    import psycopg

    then = datetime.now(UTC) - timedelta(days=400)
    name = f"audit_auditentry_{then:%Y%m}"
    with psycopg.connect(services.postgres.owner_url("test_openclaw"), autocommit=True) as owner:
        owner.execute("SELECT audit_make_partition(%s)", [then.date()])
    clock(timedelta(days=-400))
    write(org, 2)
    write(other_org, 1)
    clock(timedelta(0))
    keep(200)
    assert retain() == 2
    assert drop_empty_partitions() == 0  # the other tenant's entry is in it
    other = principal_for(other_org, Role.TENANT_ADMIN)
    with tenant_context(other_org.id):
        set_retention(principal=other, tenant_id=other_org.id, days=180, reason="our rules")
    assert retain() == 1
    with psycopg.connect(services.postgres.owner_url("test_openclaw")) as owner:
        assert owner.execute("SELECT to_regclass(%s)", [name]).fetchone() == (None,)
    assert report(org).problems == report(other_org).problems == []
